// What has ended, in the last ten minutes, day or thirty days: the choice between them, charts, and a table by function.

import { get } from './api.js';
import { past, throughput, waiting } from './charts.js';
import { count, duration, el, none, table } from './dom.js';
import { history } from './live.js';

const RANGES = {
  minutes: { name: '10 minutes', title: 'The last ten minutes' },
  day: { name: 'Day', title: 'The last day', step: '15m', each: 'fifteen minutes', long: 'a day', times: ['24 h ago', '12 h ago', 'now'] },
  month: { name: '30 days', title: 'The last thirty days', step: '6h', each: 'six hours', long: 'thirty days', times: ['30 days ago', '15 days ago', 'now'] },
};
// Milliseconds for which an answer is shown before the service is asked again.
const FRESH = 60e3;
const FUNCTIONS = 10;

function byFunction(functions) {
  const shown = functions.slice(0, FUNCTIONS);
  const number = (name, kind) => (item) => count(item[name], null, kind);
  return table(shown.length === functions.length ? 'By function' : `By function: the ${FUNCTIONS} of ${functions.length} that ran most often`, [
    { title: 'Function', show: (item) => (item.name === null ? 'others' : el('code', null, item.name)) },
    { title: 'Finished', number: true, show: number('finished') },
    { title: 'Failed', number: true, show: number('failed', 'problem') },
    shown.some((item) => item.retried) && { title: 'Retried', number: true, show: number('retried') },
    { title: 'Mean wait', number: true, show: (item) => duration(item.mean_wait_seconds) ?? none() },
    { title: 'Mean run', number: true, show: (item) => duration(item.mean_duration_seconds) ?? none() },
  ].filter(Boolean), shown, '');
}

// Returns how a page shows what has ended. The choice is kept in the address. `queue` is the only one that counts.
export function ended(query, queue) {
  const asked = new URLSearchParams(query).get('last');
  let chosen = Object.hasOwn(RANGES, asked ?? '') ? asked : 'minutes';
  let found = null;
  let read = 0;

  async function load() {
    const name = chosen;
    const { step } = RANGES[name];
    if (!step || (found && Date.now() < read + FRESH)) return;
    const answer = await get(`/v1/history?${new URLSearchParams({ step, ...(queue && { queue }) })}`);
    // Another choice may have been made meanwhile.
    if (name !== chosen) return;
    found = answer;
    read = Date.now();
  }

  function choice(name, again) {
    return el('button', {
      type: 'button', class: 'quiet', 'aria-pressed': String(name === chosen), 'data-key': `last ${name}`,
      onclick: () => {
        chosen = name;
        found = null;
        const [path] = location.hash.split('?');
        window.history.replaceState(null, '', `${path || '#/'}${name === 'minutes' ? '' : `?last=${name}`}`);
        return again();
      },
    }, RANGES[name].name);
  }

  function section(again) {
    const items = history().filter((item) => !queue || item.queue === queue);
    const range = RANGES[chosen];
    return [
      el('div', { class: 'tools heading' }, el('h2', null, range.title),
        el('div', { class: 'choice', role: 'group', 'aria-label': 'Which time' }, Object.keys(RANGES).map((name) => choice(name, again)))),
      el('div', { class: 'charts' }, found ? past(found, range) : [throughput(items), waiting(items)]),
      found?.functions.length > 0 && byFunction(found.functions),
      found && el('p', { class: 'soft' }, 'Only what workers of rq-leveldb ran is counted.'),
    ];
  }

  return { load, section };
}
