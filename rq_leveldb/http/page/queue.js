// One queue: what waits in it, who serves it, how fast it moves; and the table of all queues.

import { act, call, get, getAll, post } from './api.js';
import { count, duration, el, jobsHref, link, list, none, queueLink, replace, state, table, unreadable, words } from './dom.js';
import { history } from './live.js';
import { ended } from './past.js';

const STATES = ['queued', 'started', 'failed', 'finished', 'scheduled', 'deferred', 'ready_to_enqueue', 'canceled'];

// Whether jobs wait that nobody will take, which is not meant.
export const isUnserved = (queue) => queue.workers === 0 && queue.counts.queued > 0 && !queue.is_paused;

const pauseButton = (queue, again) => el('button', {
  type: 'button', class: 'quiet', 'data-key': `pause ${queue.name}`, 'aria-label': `${queue.is_paused ? 'Resume' : 'Pause'} queue ${queue.name}`,
  onclick: (event) => act(event.target, queue.is_paused ? `Workers are taking jobs from ${queue.name} again.` : `Workers take no more jobs from ${queue.name}.`,
    () => post(`${queue.url}/${queue.is_paused ? 'resume' : 'pause'}`)).then(again),
}, queue.is_paused ? 'Resume' : 'Pause');

export const emptyButton = (queue, again) => el('button', {
  type: 'button', class: 'danger', 'data-key': `empty ${queue.name}`, 'data-count': queue.counts.queued, disabled: !queue.counts.queued,
  'aria-label': `Empty queue ${queue.name}`,
  onclick: (event) => confirm(`Delete the ${queue.counts.queued} jobs that wait in ${queue.name}? This cannot be undone.`) &&
    act(event.target, `${queue.name} was emptied.`, () => post(`${queue.url}/empty`)).then(again),
}, 'Empty');

export const unserved = (queues) => queues.filter(isUnserved).map((queue) => el('p', { class: 'card attention' },
  'No worker serves ', queueLink(queue.name), `, where ${queue.counts.queued === 1 ? 'a job waits' : `${queue.counts.queued} jobs wait`}. Start one: `, el('code', null, `rq-leveldb worker ${queue.name}`)));

export function queueTable(queues, again) {
  const number = (name, kind) => (queue) => count(queue.counts[name], jobsHref(name, { queue: queue.name }), kind);
  return table(queues.length === 1 ? 'One queue' : `${queues.length} queues`, [
    { title: 'Queue', show: (queue) => [queueLink(queue.name), queue.is_paused && [' ', el('span', { class: 'state alarm' }, 'paused')]] },
    { title: 'Queued', number: true, show: number('queued') },
    { title: 'Running', number: true, show: number('started', 'state started') },
    { title: 'Failed', number: true, show: number('failed', 'problem') },
    { title: 'Finished', number: true, show: number('finished') },
    { title: 'Scheduled', number: true, show: number('scheduled') },
    { title: 'Deferred', number: true, show: number('deferred') },
    queues.some((queue) => queue.counts.ready_to_enqueue !== 0) && { title: 'Ready', number: true, show: number('ready_to_enqueue') },
    { title: 'Longest wait', number: true, show: (queue) => duration(queue.oldest_waiting_seconds) ?? none() },
    { title: 'Workers', number: true, show: (queue) => (isUnserved(queue) ? el('strong', { class: 'alarm' }, 'nobody') : count(queue.workers)) },
    { title: 'Action', kind: 'actions', show: (queue) => [pauseButton(queue, again), emptyButton(queue, again)] },
  ].filter(Boolean), queues, 'There are no queues yet. The first job creates one.');
}

export async function queue(place, name, query) {
  const past = ended(query, name);
  const path = `/v1/queues/${encodeURIComponent(name)}`;
  async function show() {
    const [found, workers] = await Promise.all([get(path), getAll('/v1/workers'), past.load()]);
    const serving = workers.items.filter((worker) => worker.queues.includes(name));
    const items = history().filter((item) => item.queue === name);
    replace(place, el('h1', null, `Queue ${name}`),
      unserved([found]),
      found.is_paused && el('div', { class: 'card attention tools' }, el('strong', null, 'This queue is paused: workers take nothing from it.'), pauseButton(found, show)),
      el('ul', { class: 'numbers' }, STATES.filter((state) => state !== 'ready_to_enqueue' || found.counts[state]).map((state) =>
        el('li', null, el('strong', null, count(found.counts[state], null, state === 'failed' ? 'problem' : null)), el('a', { href: jobsHref(state, { queue: name }), 'data-key': state }, words(state))))),
      el('div', { class: 'tools' }, !found.is_paused && pauseButton(found, show), emptyButton(found, show), el('button', {
        type: 'button', class: 'danger', 'data-key': 'delete queue', 'data-count': found.counts.queued,
        onclick: (event) => confirm(`Delete the queue ${name} and the ${found.counts.queued} jobs that wait in it? This cannot be undone.`) &&
          act(event.target, `${name} was deleted.`, async () => {
            await call('DELETE', path);
            location.hash = '#/';
          }),
      }, 'Delete queue'), found.counts.failed > 0 && link(`#/failed?${new URLSearchParams({ queue: name })}`, 'why', 'Why jobs failed')),
      unreadable(found.faults),
      el('div', { class: 'card' }, list([
        ['Longest wait', duration(found.oldest_waiting_seconds) ?? 'nothing waits'],
        ['Jobs a minute', `${(items.length / 10).toFixed(1)} in the last ten minutes`],
      ])),
      el('h2', null, 'Who serves it'),
      table(`${serving.length} workers`, [
        { title: 'Worker', show: (worker) => link('#/workers', 'worker', worker.name) },
        { title: 'State', show: (worker) => state(worker.state) },
        { title: 'Running here', number: true, show: (worker) => count(worker.children.filter((child) => child.queue === name).length) },
        { title: 'At most', number: true, show: (worker) => worker.max_children ?? 1 },
        { title: 'Its queues', show: (worker) => worker.queues.map((item, index) => [index > 0 && ', ', item === name ? item : queueLink(item)]) },
      ], serving, 'No worker serves this queue.'),
      past.section(show));
  }
  await show();
  return { refresh: show, every: 10 };
}
