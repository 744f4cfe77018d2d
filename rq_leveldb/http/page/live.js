// The event stream, and what is kept of it for the charts.

import { get } from './api.js';

const MINUTES = 10;
const ended = [];
const known = new Set();
const listeners = new Set();
let source = null;

function keep(id, queue, at, isGood, wait) {
  const key = `${id} ${at}`;
  if (known.has(key)) return;
  known.add(key);
  ended.push({ key, queue, at: Date.parse(at), isGood, wait });
  const oldest = Date.now() - MINUTES * 60e3;
  while (ended.length && (ended[0].at < oldest || ended.length > 20000)) known.delete(ended.shift().key);
}

export const history = () => ended.filter((item) => item.at >= Date.now() - MINUTES * 60e3);

export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell(name, data) {
  for (const listener of listeners) listener(name, data);
}

function show(text) {
  const place = document.getElementById('live');
  if (place.textContent !== text) place.textContent = text;
}

export async function start() {
  stop();
  for (const status of ['finished', 'failed']) {
    const page = await get(`/v1/jobs?status=${status}&limit=500`).catch(() => ({ items: [] }));
    for (const job of page.items) if (job.ended_at) keep(job.id, job.queue, job.ended_at, status === 'finished', job.wait_seconds);
  }
  ended.sort((one, other) => one.at - other.at);
  source = new EventSource('/v1/events');
  source.onopen = () => show('Live');
  source.onerror = () => show('Not connected, retrying');
  source.addEventListener('counts', (event) => {
    tell('counts', JSON.parse(event.data));
  });
  for (const name of ['job.finished', 'job.failed', 'job.stopped']) {
    source.addEventListener(name, (event) => {
      const data = JSON.parse(event.data);
      keep(data.job, data.queue, data.at, name === 'job.finished', data.wait_seconds);
      tell(name, data);
    });
  }
  for (const name of ['job.enqueued', 'job.started', 'job.canceled', 'job.scheduled', 'job.deferred', 'worker.up', 'worker.down', 'gap']) {
    source.addEventListener(name, (event) => tell(name, JSON.parse(event.data)));
  }
}

export function stop() {
  source?.close();
  source = null;
  show('');
}
