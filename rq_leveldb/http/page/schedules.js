import { get, getAll } from './api.js';
import { duration, el, moment, replace, table, unreadable } from './dom.js';

export async function schedules(place) {
  async function show() {
    const [jobs, cron] = await Promise.all([getAll('/v1/schedules'), get('/v1/cron')]);
    replace(place, el('h1', null, 'Schedules'),
      el('h2', null, 'Scheduled jobs'),
      table('By queue', [
        { title: 'Queue', show: (item) => el('a', { href: `#/jobs/scheduled?queue=${encodeURIComponent(item.queue)}`, 'data-key': item.queue }, item.queue) },
        { title: 'Jobs', number: true, show: (item) => item.count },
        { title: 'Next', show: (item) => el('a', { href: `#/job/${item.next_job}`, 'data-key': item.next_job }, moment(item.next_at)) },
      ], jobs.items, 'No jobs are scheduled.'),
      el('h2', null, 'Cron'),
      table('Entries', [
        { title: 'Name', show: (item) => item.name },
        { title: 'Function', show: (item) => el('code', null, item.function) },
        { title: 'Queue', show: (item) => item.queue },
        { title: 'When', show: (item) => item.cron ?? `every ${duration(item.interval_seconds)}` },
        { title: 'Last', show: (item) => moment(item.last_at) ?? '–' },
        { title: 'Next', show: (item) => moment(item.next_at) ?? '–' },
      ], cron.items, 'There are no cron entries. Add some with: rq-leveldb worker --cron FILE'),
      unreadable([...jobs.unreadable, ...cron.unreadable]));
  }
  await show();
  return { refresh: show, every: 10 };
}
