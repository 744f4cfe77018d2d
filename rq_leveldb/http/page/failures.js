// Why jobs failed: in groups of one function and one type of error.

import { get } from './api.js';
import { deleteButton, requeueButton } from './bulk.js';
import { el, jobLink, jobsHref, link, moment, queueLink, replace, svg, table, unreadable } from './dom.js';
import { filterForm } from './filters.js';

const HOUR = 9;

// A bar for each of the last 24 hours; the text says the same.
function history(hours) {
  const most = Math.max(1, ...hours);
  const total = hours.reduce((sum, value) => sum + value, 0);
  const text = `${total} in the last 24 hours, ${hours.at(-1)} in the last one`;
  return svg('svg', { class: 'spark', viewBox: `0 0 ${24 * HOUR} 100`, preserveAspectRatio: 'none', role: 'img', 'aria-label': text },
    svg('title', null, text),
    hours.map((value, index) => (value
      ? svg('rect', { class: 'bar-bad', x: index * HOUR, width: HOUR - 2, y: 94 - (92 * value) / most, height: 6 + (92 * value) / most })
      : svg('rect', { class: 'bar-none', x: index * HOUR, width: HOUR - 2, y: 96, height: 4 }))));
}

export function groupTable(found, filters, again) {
  const chosen = (group) => ({ ...filters, function: group.function, error_type: group.error_type });
  // Where not all were grouped, there may be more of a kind than were counted.
  const many = (group) => (found.looked_at < found.total ? `all jobs (${group.count} of the newest ${found.looked_at})` : group.count === 1 ? 'the job' : `the ${group.count} jobs`);
  const named = (group) => `${many(group)} of ${group.function} with ${group.error_type}`;
  return table(caption(found), [
    {
      title: 'Error', isName: true,
      show: (group) => [link(jobsHref('failed', chosen(group)), 'group', el('span', { class: 'problem' }, group.error || 'No error is kept')),
        el('code', { class: 'under' }, group.function ?? 'function cannot be read')],
    },
    { title: 'Jobs', number: true, show: (group) => el('strong', null, group.count) },
    { title: 'Queue', show: (group) => group.queues.map((name, index) => [index > 0 && ', ', queueLink(name)]) },
    { title: '24 hours', show: (group) => history(group.per_hour) },
    { title: 'Last', show: (group) => jobLink(group.latest_job, moment(group.latest_at) ?? 'unknown') },
    {
      title: 'Action', kind: 'actions',
      show: (group) => group.function !== null && [
        requeueButton(named(group), 'Requeue', () => chosen(group), again, `${group.function} ${group.error_type}`),
        deleteButton(named(group), 'Delete', () => chosen(group), again, `${group.function} ${group.error_type}`)],
    },
  ], found.items, 'Nothing failed.');
}

function caption(found) {
  const groups = found.groups === found.items.length ? '' : ` The largest ${found.items.length} of ${found.groups} groups are shown.`;
  return found.looked_at < found.total
    ? `Only the newest ${found.looked_at.toLocaleString('en')} of ${found.total.toLocaleString('en')} failed jobs were grouped.${groups}`
    : `${found.items.reduce((sum, group) => sum + group.count, 0)} failed jobs, in groups.${groups}`;
}

export async function failures(place, query) {
  const form = await filterForm(query, (address) => `#/failed${address}`);
  const body = el('div');
  async function show() {
    const found = await get(`/v1/failures?${new URLSearchParams(form.filters)}`);
    const isFiltered = Object.keys(form.filters).length > 0;
    replace(body,
      groupTable(found, form.filters, show),
      found.items.length > 0 && el('div', { class: 'tools' },
        link(jobsHref('failed', form.filters), 'list', 'Show them one by one'),
        requeueButton(isFiltered ? 'all failed jobs that match' : 'all failed jobs', 'Requeue all', () => form.filters, show, 'all'),
        deleteButton(isFiltered ? 'all failed jobs that match' : 'all failed jobs', 'Delete all', () => form.filters, show, 'all')),
      unreadable(found.unreadable));
  }
  replace(place, el('h1', null, 'Failed jobs'), form.element, body);
  await show();
  return { refresh: show, pause: 5 };
}
