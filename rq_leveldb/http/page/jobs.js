import { act, get, getAll, post } from './api.js';
import { duration, el, moment, replace, state, table, unreadable } from './dom.js';

const STATES = ['queued', 'started', 'failed', 'finished', 'scheduled', 'deferred', 'ready_to_enqueue', 'canceled', 'stopped'];
const AGAIN = ['failed', 'stopped', 'canceled'];
const EMPTY = { queued: 'No jobs are waiting.', started: 'No jobs are running.', failed: 'Nothing failed.' };

export function requeue(job, again) {
  return el('button', {
    type: 'button', 'data-key': `requeue ${job.id}`, 'aria-label': `Requeue ${job.description ?? job.id}`,
    onclick: (event) => act(event.target, `Job ${job.id} is queued again.`, () => post(`${job.url}/requeue`)).then(again),
  }, 'Requeue');
}

export function traceback(job) {
  const text = el('pre', { tabindex: 0 }, 'Loading…');
  return el('details', {
    'data-key': `trace ${job.id}`,
    ontoggle: (event) => event.target.open && get(job.url).then((found) => { text.textContent = found.exception ?? 'No traceback is kept.'; },
      (error) => { text.textContent = error.message; }),
  }, el('summary', { 'data-key': `summary ${job.id}` }, 'Traceback'), text);
}

export async function jobs(place, status, query) {
  if (!STATES.includes(status)) status = 'queued';
  const wanted = new URLSearchParams(query);
  let items = [];
  let next = null;
  let strange = [];

  const page = (cursor) => {
    const asked = new URLSearchParams({ status, limit: '50' });
    for (const name of ['queue', 'function']) if (wanted.get(name)) asked.set(name, wanted.get(name));
    if (cursor) asked.set('cursor', cursor);
    return get(`/v1/jobs?${asked}`);
  };
  const link = (name) => {
    const kept = new URLSearchParams(wanted);
    return `#/jobs/${name}${kept.size ? `?${kept}` : ''}`;
  };

  function filters(queues) {
    const queue = el('select', { name: 'queue' }, el('option', { value: '' }, 'all'),
      queues.map((item) => el('option', { value: item.name, selected: item.name === wanted.get('queue') }, item.name)));
    const name = el('input', { name: 'function', value: wanted.get('function') ?? '', placeholder: 'module.function', autocomplete: 'off' });
    return el('form', {
      class: 'tools',
      onsubmit: (event) => {
        event.preventDefault();
        wanted.set('queue', queue.value);
        wanted.set('function', name.value.trim());
        for (const key of [...wanted.keys()]) if (!wanted.get(key)) wanted.delete(key);
        location.hash = link(status);
      },
    }, el('label', null, 'Queue', queue), el('label', null, 'Function', name), el('button', { type: 'submit', class: 'quiet' }, 'Filter'),
    status === 'failed' && el('button', {
      type: 'button',
      onclick: (event) => confirm('Requeue all failed jobs in this list?') && act(event.target, 'Failed jobs are queued again.', () => {
        const body = {};
        for (const key of ['queue', 'function']) if (wanted.get(key)) body[key] = wanted.get(key);
        return post('/v1/requeue-failed', body);
      }).then(show),
    }, 'Requeue all'));
  }

  const body = el('div');
  function draw() {
    const columns = [
      { title: 'Job', show: (job) => el('a', { href: `#/job/${encodeURIComponent(job.id)}`, 'data-key': `job ${job.id}` }, job.description || job.function || job.id) },
      { title: 'Queue', show: (job) => job.queue },
      { title: 'Enqueued', show: (job) => moment(job.enqueued_at ?? job.created_at) },
    ];
    if (items.some((job) => job.faults.length)) {
      columns.splice(1, 0, { title: 'Cannot be read', show: (job) => job.faults.map((fault) => fault.field || 'whole record').join(', ') || '–' });
    }
    if (!['queued', 'scheduled', 'deferred', 'ready_to_enqueue'].includes(status)) {
      columns.push({ title: 'Waited', number: true, show: (job) => duration(job.wait_seconds) ?? '–' });
      columns.push({ title: status === 'started' ? 'Started' : 'Ended', show: (job) => moment(status === 'started' ? job.started_at : job.ended_at) ?? '–' });
      if (status !== 'started') columns.push({ title: 'Ran', number: true, show: (job) => duration(job.duration_seconds) ?? '–' });
    }
    if (status === 'failed') columns.push({ title: 'Reason', show: traceback });
    if (AGAIN.includes(status)) columns.push({ title: 'Action', show: (job) => requeue(job, show) });
    replace(body, table(`${items.length} ${state(status).textContent} jobs${next ? ', more to load' : ''}`, columns, items, EMPTY[status] ?? 'There are no jobs in this state.'),
      unreadable(strange),
      next && el('div', { class: 'tools' }, el('button', {
        type: 'button', class: 'quiet', 'data-key': 'more',
        onclick: (event) => act(event.target, '', async () => {
          const more = await page(next);
          items = items.concat(more.items);
          next = more.next;
          draw();
        }),
      }, 'More')));
  }
  async function show() {
    const first = await page(null);
    // Keep pages that were loaded by hand until the list is opened again.
    if (items.length > 50) return;
    items = first.items;
    next = first.next;
    strange = first.unreadable;
    draw();
  }

  const queues = await getAll('/v1/queues');
  replace(place, el('h1', null, 'Jobs'),
    el('nav', { class: 'tabs', 'aria-label': 'States' }, STATES.map((name) =>
      el('a', { href: link(name), 'aria-current': name === status ? 'page' : null }, state(name).textContent))),
    filters(queues.items), body);
  await show();
  return { refresh: show };
}
