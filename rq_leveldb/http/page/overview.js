import { act, call, get, getAll, post } from './api.js';
import { throughput, waiting } from './charts.js';
import { duration, el, replace, table, unreadable } from './dom.js';
import { history } from './live.js';

const jobs = (status, queue) => `#/jobs/${status}?queue=${encodeURIComponent(queue)}`;

function numbers(queues, workers) {
  const total = (name) => queues.reduce((sum, queue) => sum + queue.counts[name], 0);
  const children = workers.reduce((sum, worker) => sum + worker.children.length, 0);
  const most = workers.reduce((sum, worker) => sum + (worker.max_children ?? 1), 0);
  const one = (title, value, link) => el('li', null, el('strong', null, value), link ? el('a', { href: link }, title) : title);
  return el('ul', { class: 'numbers' },
    one('queued', total('queued'), '#/jobs/queued'),
    one('running', total('started'), '#/jobs/started'),
    one('failed', total('failed'), '#/jobs/failed'),
    one('finished', total('finished'), '#/jobs/finished'),
    one('scheduled', total('scheduled'), '#/jobs/scheduled'),
    total('ready_to_enqueue') > 0 && one('about to be queued', total('ready_to_enqueue'), '#/jobs/ready_to_enqueue'),
    one(`of ${most} children busy`, children, '#/workers'));
}

function queueTable(queues, again) {
  const link = (name) => (queue) => el('a', { href: jobs(name, queue.name), 'data-key': `${name} ${queue.name}` }, queue.counts[name] ?? 'unreadable');
  return table('Queues', [
    { title: 'Queue', show: (queue) => queue.name },
    { title: 'Queued', number: true, show: link('queued') },
    { title: 'Running', number: true, show: link('started') },
    { title: 'Failed', number: true, show: link('failed') },
    { title: 'Finished', number: true, show: link('finished') },
    { title: 'Scheduled', number: true, show: link('scheduled') },
    { title: 'Deferred', number: true, show: link('deferred') },
    queues.some((queue) => queue.counts.ready_to_enqueue !== 0) && { title: 'Ready', number: true, show: link('ready_to_enqueue') },
    { title: 'Longest wait', number: true, show: (queue) => duration(queue.oldest_waiting_seconds) ?? '–' },
    { title: 'Workers', number: true, show: (queue) => queue.workers ?? 'unreadable' },
    {
      title: 'Action',
      show: (queue) => el('button', {
        type: 'button', class: 'danger', 'data-key': `empty ${queue.name}`, disabled: !queue.counts.queued,
        'aria-label': `Empty queue ${queue.name}`,
        onclick: (event) => confirm(`Delete the ${queue.counts.queued} jobs waiting in ${queue.name}?`) &&
          act(event.target, `${queue.name} was emptied.`, () => post(`${queue.url}/empty`)).then(again),
      }, 'Empty'),
    },
  ].filter(Boolean), queues, 'There are no queues yet. The first job creates one.');
}

export async function overview(place) {
  async function show() {
    const [queues, workers, suspension, aside] = await Promise.all([getAll('/v1/queues'), getAll('/v1/workers'), get('/v1/suspension'), getAll('/v1/unreadable')]);
    const toggle = el('button', {
      type: 'button', class: 'quiet', 'data-key': 'suspend',
      onclick: (event) => act(event.target, suspension.is_suspended ? 'Workers are taking jobs again.' : 'Workers take no more jobs.',
        () => (suspension.is_suspended ? call('DELETE', '/v1/suspension') : call('PUT', '/v1/suspension', {}))).then(show),
    }, suspension.is_suspended ? 'Resume all workers' : 'Suspend all workers');
    const items = history();
    replace(place, el('h1', null, 'Overview'),
      numbers(queues.items, workers.items),
      el('div', { class: 'tools' }, toggle, suspension.is_suspended && el('strong', { class: 'state queued' }, 'All workers are suspended.')),
      queueTable(queues.items, show),
      unreadable([...queues.unreadable, ...workers.unreadable, ...aside.items]),
      el('h2', null, 'The last ten minutes'),
      el('div', { class: 'charts' }, throughput(items), waiting(items)));
  }
  await show();
  return { refresh: show, every: 10 };
}
