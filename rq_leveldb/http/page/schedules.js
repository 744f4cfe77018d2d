// What will be enqueued later.

import { act, get, getAll, post } from './api.js';
import { count, due, duration, el, jobLink, jobsHref, lines, moment, none, queueLink, replace, table, unreadable } from './dom.js';
import { runNow } from './jobs.js';

const NEXT = 10;

function cronButtons(item, again) {
  // An entry of RQ's own cron process, which takes no orders.
  if (item.id === null) return none();
  const button = (title, action, done) => el('button', {
    type: 'button', class: 'quiet', 'data-key': `${action} ${item.id}`, 'aria-label': `${title}: ${item.name}`,
    onclick: (event) => act(event.target, done, () => post(`/v1/cron/${encodeURIComponent(item.id)}/${action}`)).then(again),
  }, title);
  return [button('Run now', 'run-now', 'A worker enqueues it in a moment.'),
    item.is_enabled ? button('Disable', 'disable', `${item.name} does not run until it is enabled.`) : button('Enable', 'enable', `${item.name} runs when it is due.`)];
}

export async function schedules(place) {
  async function show() {
    const [jobs, first, cron] = await Promise.all([getAll('/v1/schedules'), get(`/v1/jobs?status=scheduled&limit=${NEXT}`), get('/v1/cron')]);
    replace(place, el('h1', null, 'Schedules'),
      el('h2', null, 'Scheduled jobs'),
      table('By queue', [
        { title: 'Queue', show: (item) => queueLink(item.queue) },
        { title: 'Jobs', number: true, show: (item) => count(item.count, jobsHref('scheduled', { queue: item.queue })) },
        { title: 'Next', show: (item) => jobLink(item.next_job, due(item.next_at)) },
      ], jobs.items, 'No jobs are scheduled.'),
      first.items.length > 0 && table('The next jobs', [
        { title: 'Job', show: (job) => jobLink(job.id, job.description || job.function) },
        { title: 'Queue', show: (job) => queueLink(job.queue) },
        { title: 'Due', show: (job) => due(job.scheduled_at) },
        { title: 'Action', kind: 'actions', show: (job) => runNow(job, show) },
      ], first.items, ''),
      el('h2', null, 'Cron'),
      cron.items.length ? table('Entries of the cron files of running workers', [
        { title: 'Name', show: (item) => [item.name, item.name !== item.function && el('code', { class: 'under' }, item.function)] },
        { title: 'Queue', show: (item) => queueLink(item.queue) },
        { title: 'When', show: (item) => item.cron ?? `every ${duration(item.interval_seconds)}` },
        { title: 'Next', show: (item) => (item.is_enabled ? due(item.next_at) ?? none() : el('span', { class: 'state alarm' }, 'disabled')) },
        { title: 'Last', show: (item) => (item.recent_jobs.length ? jobLink(item.recent_jobs[0], moment(item.last_at, true) ?? 'unknown') : moment(item.last_at, true) ?? none()) },
        { title: 'Action', kind: 'actions', show: (item) => cronButtons(item, show) },
      ], cron.items, '') : el('section', { class: 'card' }, el('p', null, 'There are no cron entries. Name a file of them when you start a worker:'), lines('In a terminal', 'rq-leveldb worker --cron FILE')),
      unreadable([...jobs.unreadable, ...cron.unreadable]));
  }
  await show();
  return { refresh: show, every: 10, pause: 5 };
}
