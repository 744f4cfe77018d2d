// The jobs of a state.

import { act, get, getAll, post } from './api.js';
import { deleteButton, requeueButton } from './bulk.js';
import { count, due, duration, el, jobLink, jobsHref, link, moment, none, queueLink, replace, table, unreadable, words } from './dom.js';
import { filterForm } from './filters.js';

const STATES = ['queued', 'started', 'failed', 'finished', 'scheduled', 'deferred', 'ready_to_enqueue', 'canceled', 'stopped'];
const AGAIN = ['failed', 'stopped', 'canceled'];
const WAITING = ['queued', 'scheduled', 'deferred', 'ready_to_enqueue'];
const EMPTY = { queued: 'No jobs are waiting.', started: 'No jobs are running.', failed: 'Nothing failed.' };
const PAGE = 50;

export function requeue(job, again, kind = null) {
  return el('button', {
    type: 'button', class: kind, 'data-key': `requeue ${job.id}`, 'aria-label': `Requeue ${job.description ?? job.id}`,
    onclick: (event) => act(event.target, `Job ${job.id} is queued again.`, () => post(`${job.url}/requeue`)).then(again),
  }, 'Requeue');
}

export function runNow(job, again) {
  return el('button', {
    type: 'button', class: 'quiet', 'data-key': `run ${job.id}`, 'aria-label': `Run now: ${job.description ?? job.id}`,
    onclick: (event) => act(event.target, 'A worker with the scheduler takes it in a moment.', () => post(`${job.url}/run-now`)).then(again),
  }, 'Run now');
}

export async function jobs(place, status, query) {
  if (!STATES.includes(status)) status = 'queued';
  const form = await filterForm(query, (address) => `#/jobs/${status}${address}`);
  const { filters } = form;
  const isFiltered = Object.keys(filters).length > 0;
  const selected = new Set();
  const body = el('div');
  const tabs = el('nav', { class: 'tabs', 'aria-label': 'States' });
  let items = [];
  let next = null;
  let strange = [];
  let isSpread = false;

  const page = (cursor) => get(`/v1/jobs?${new URLSearchParams({ ...filters, status, limit: PAGE, ...(cursor && { cursor }) })}`);

  function drawTabs(queues) {
    const counted = queues.filter((queue) => !filters.queue || queue.name === filters.queue);
    const total = (name) => counted.reduce((sum, queue) => sum + (queue.counts[name] ?? 0), 0);
    replace(tabs, STATES.map((name) => el('a', { href: jobsHref(name, filters), 'aria-current': name === status ? 'page' : null, 'data-key': `tab ${name}` },
      // Stopped jobs are counted among the failed ones.
      words(name), name !== 'stopped' && [' ', el('span', { class: 'badge' }, count(total(name), null, name === 'failed' ? 'problem' : null))])));
  }

  function select(job) {
    return el('input', {
      type: 'checkbox', 'aria-label': `Select ${job.description ?? job.id}`, checked: selected.has(job.id), 'data-key': `select ${job.id}`,
      onchange: (event) => {
        if (event.target.checked) selected.add(job.id);
        else selected.delete(job.id);
        draw();
      },
    });
  }

  function columns() {
    const shown = [
      AGAIN.includes(status) && { title: 'Select', kind: 'select', show: select },
      {
        title: 'Job', isName: true,
        show: (job) => [jobLink(job.id, job.description || job.function),
          status === 'failed' && job.error && el('span', { class: 'problem under' }, job.error)],
      },
      items.some((job) => job.faults.length) && { title: 'Cannot be read', show: (job) => job.faults.map((fault) => fault.field || 'whole record').join(', ') || none() },
      { title: 'Queue', show: (job) => queueLink(job.queue) },
    ];
    if (status === 'scheduled') shown.push({ title: 'Due', show: (job) => due(job.scheduled_at) ?? none() });
    else if (WAITING.includes(status)) shown.push({ title: 'Enqueued', show: (job) => moment(job.enqueued_at ?? job.created_at) ?? none() });
    else {
      shown.push({ title: status === 'started' ? 'Started' : words(status).replace(/^./, (letter) => letter.toUpperCase()), show: (job) => moment(status === 'started' ? job.started_at : job.ended_at) ?? none() });
      shown.push({ title: 'Waited', number: true, show: (job) => duration(job.wait_seconds) ?? none() });
      if (status !== 'started') shown.push({ title: 'Ran', number: true, show: (job) => duration(job.duration_seconds) ?? none() });
    }
    if (status === 'scheduled') shown.push({ title: 'Action', kind: 'actions', show: (job) => runNow(job, show) });
    if (AGAIN.includes(status)) shown.push({ title: 'Action', kind: 'actions', show: (job) => requeue(job, show, 'quiet') });
    return shown.filter(Boolean);
  }

  function tools() {
    if (!AGAIN.includes(status) || !items.length) return null;
    const number = selected.size;
    const chosen = () => ({ jobs: [...selected] });
    const some = `the ${number} selected jobs`;
    const every = isFiltered ? 'all failed jobs that match' : 'all failed jobs';
    // While something is selected, what can be done with it stays in sight.
    return el('div', { class: number ? 'tools selection' : 'tools' },
      el('button', {
        type: 'button', class: 'quiet', 'data-key': 'select all',
        onclick: () => {
          if (selected.size) selected.clear();
          else for (const job of items) selected.add(job.id);
          draw();
        },
      }, number ? 'Select none' : `Select these ${items.length}`),
      number > 0 && [requeueButton(some, `Requeue ${number} selected`, chosen, done, 'selected'), deleteButton(some, `Delete ${number} selected`, chosen, done, 'selected')],
      status === 'failed' && !number && [
        requeueButton(every, 'Requeue all', () => filters, done, 'all'), deleteButton(every, 'Delete all', () => filters, done, 'all'),
        link(`#/failed${isFiltered ? `?${new URLSearchParams(filters)}` : ''}`, 'groups', 'Group them')]);
  }

  function draw() {
    replace(body,
      tools(),
      table(`${items.length} ${words(status)} jobs${next ? '; there may be more' : ''}`, columns(), items,
        next ? 'None of the jobs so far matches.' : isFiltered ? 'No job matches.' : EMPTY[status] ?? 'There are no jobs in this state.'),
      unreadable(strange),
      next && el('div', { class: 'tools' }, el('button', {
        type: 'button', class: 'quiet', 'data-key': 'more',
        onclick: (event) => act(event.target, '', async () => {
          const more = await page(next);
          items = items.concat(more.items);
          next = more.next;
          isSpread = true;
          draw();
        }),
      }, items.length ? 'More' : 'Look further')));
  }

  async function done() {
    selected.clear();
    isSpread = false;
    await show();
  }

  async function show() {
    // Pages that were loaded by hand stay until the list is opened again.
    const [first, queues] = await Promise.all([isSpread ? null : page(null), getAll('/v1/queues')]);
    drawTabs(queues.items);
    if (first === null) return;
    items = first.items;
    next = first.next;
    strange = first.unreadable;
    for (const id of selected) if (!items.some((job) => job.id === id)) selected.delete(id);
    draw();
  }

  drawTabs(form.queues);
  replace(place, el('h1', null, `${words(status).replace(/^./, (letter) => letter.toUpperCase())} jobs`), tabs, form.element, body);
  await show();
  // A search looks at many jobs.
  return { refresh: show, pause: isFiltered ? 10 : 1 };
}
