// The filters of a list of jobs. They are kept in the address, so that it can be bookmarked.

import { get, getAll } from './api.js';
import { el } from './dom.js';

const TEXTS = { function: 'Function', error_type: 'Type of error', output: 'Output', worker: 'Worker' };
const TIMES = { since: 'Since', until: 'Before' };
const NAMES = ['search', 'queue', ...Object.keys(TEXTS), ...Object.keys(TIMES)];
const ID = /^[A-Za-z0-9_-]{8,200}$/;

// What an input for date and time shows is in the time zone of the browser.
function local(text) {
  const at = new Date(text);
  return Number.isNaN(at.getTime()) ? '' : new Date(at - at.getTimezoneOffset() * 60e3).toISOString().slice(0, 16);
}

// Returns the form, and the filters that the address has. `address` makes the address of a list from a query.
export async function filterForm(query, address) {
  const asked = new URLSearchParams(query);
  const filters = Object.fromEntries(NAMES.filter((name) => asked.get(name)).map((name) => [name, asked.get(name)]));
  const queues = (await getAll('/v1/queues')).items;
  const search = el('input', { type: 'search', name: 'search', value: filters.search, placeholder: 'id, function, argument, error …', autocomplete: 'off', 'data-key': 'search', maxlength: 200 });
  const queue = el('select', { name: 'queue', 'data-key': 'filter queue' }, el('option', { value: '' }, 'all'),
    queues.map((item) => el('option', { value: item.name, selected: item.name === filters.queue }, item.name)));
  const texts = Object.entries(TEXTS).map(([name, title]) => el('label', null, title, el('input', { name, value: filters[name], autocomplete: 'off', 'data-key': `filter ${name}` })));
  const times = Object.entries(TIMES).map(([name, title]) => el('label', null, title, el('input', { name, type: 'datetime-local', value: filters[name] && local(filters[name]), 'data-key': `filter ${name}` })));
  const isNarrow = [...Object.keys(TEXTS), ...Object.keys(TIMES)].some((name) => filters[name]);
  const element = el('form', {
    class: 'tools filters', role: 'search',
    onsubmit: async (event) => {
      event.preventDefault();
      const wanted = new URLSearchParams();
      for (const [name, value] of new FormData(element)) {
        const text = value.trim();
        if (text) wanted.set(name, name in TIMES ? new Date(text).toISOString() : text);
      }
      // The id of a job finds it whatever its state.
      const id = wanted.get('search') ?? '';
      if (ID.test(id) && /[0-9_-]/.test(id) && await get(`/v1/jobs/${id}`).catch(() => null)) location.hash = `#/job/${id}`;
      else location.hash = address(wanted.size ? `?${wanted}` : '');
    },
  },
  el('label', { class: 'grow' }, 'Search', search), el('label', null, 'Queue', queue),
  el('button', { type: 'submit', 'data-key': 'submit' }, 'Search'),
  Object.keys(filters).length > 0 && el('a', { class: 'button', href: address(''), 'data-key': 'clear' }, 'Clear'),
  el('details', { open: isNarrow, 'data-key': 'filters' }, el('summary', { 'data-key': 'filters summary' }, 'More filters'), el('div', { class: 'tools' }, texts, times)));
  return { element, filters, queues };
}
