// Bar charts over time: bars for what was, nothing for what was not, and a table of the same numbers.

import { duration, el, svg } from './dom.js';

const WIDTH = 600;
const HEIGHT = 112;
const TOP = 6;
const MINUTES = { count: 60, span: 10e3, each: 'ten seconds', times: ['10 min ago', '5 min ago', 'now'], long: 'ten minutes' };

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const date = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });

// Where a scale of numbers ends, and what stands there.
function counted(most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, most)));
  const end = [1, 2, 3, 4, 5, 6, 8, 10].find((factor) => factor * power >= most) * power;
  return [end, end.toLocaleString('en')];
}

const TIMES = [[0.001, 'ms', [1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500]], [1, 's', [1, 2, 3, 5, 10, 15, 20, 30, 45]], [60, 'min', [1, 2, 3, 5, 10, 15, 20, 30, 45]], [3600, 'h', [1, 2, 3, 6, 12, 18]]];
function timed(most) {
  for (const [unit, name, factors] of TIMES) {
    const factor = factors.find((each) => each * unit >= most);
    if (factor) return [factor * unit, `${factor} ${name}`];
  }
  const [days, text] = counted(Math.ceil(most / 86400));
  return [days * 86400, days === 1 ? '1 day' : `${text} days`];
}

// Without bars there is no scale. The text stays outside of the drawing, which is stretched to the available width.
function plot(title, said, range, scale, columns, bars) {
  const slot = WIDTH / range.count;
  const [end, text] = bars.length ? scale(Math.max(...bars.map((bar) => bar.parts.at(-1)[2]))) : [null, ''];
  const up = (value) => TOP + (1 - value / end) * (HEIGHT - TOP);
  const part = (index) => ([kind, from, to]) => to > from && svg('rect', { class: kind, x: index * slot, width: slot * 0.8, y: up(to), height: Math.max(1, up(from) - up(to)) });
  return el('figure', null, el('h3', null, title),
    el('div', { class: 'plot', 'aria-hidden': 'true' },
      el('span', { class: 'top' }, text), el('span', { class: 'foot' }, bars.length > 0 && '0'),
      svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none' },
        svg('line', { class: 'axis', x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT }),
        bars.length > 0 && svg('line', { class: 'axis', x1: 0, x2: WIDTH, y1: TOP, y2: TOP }),
        bars.map((bar) => svg('g', null, svg('title', null, `${bar.at}: ${bar.said}`),
          svg('rect', { class: 'bar-hover', x: bar.index * slot, width: slot, y: 0, height: HEIGHT }), bar.parts.map(part(bar.index))))),
      el('span', { class: 'times' }, range.times.map((time) => el('span', null, time)))),
    el('figcaption', null, said),
    bars.length > 0 && el('details', { 'data-key': `table ${title}` }, el('summary', { 'data-key': `summary ${title}` }, 'As a table'),
      el('div', { class: 'rows', tabindex: 0, role: 'region', 'aria-label': `${title}, table` }, el('table', { class: 'plain' }, el('caption', null, `${title}, for each ${range.each} in which there was something`),
        el('thead', null, el('tr', null, el('th', { scope: 'col' }, 'From'), columns.map((name) => el('th', { scope: 'col', class: 'number' }, name)))),
        el('tbody', null, bars.map((bar) => el('tr', null, el('th', { scope: 'row' }, bar.at), bar.cells.map((cell) => el('td', { class: 'number' }, cell)))))))));
}

const sum = (bars, name) => bars.reduce((total, bar) => total + bar[name], 0);

function outcomes(range, bars) {
  const isRetried = sum(bars, 'again') > 0;
  const most = Math.max(0, ...bars.map(({ good, bad, again }) => good + bad + again));
  const said = `${sum(bars, 'good').toLocaleString('en')} finished and ${sum(bars, 'bad').toLocaleString('en')} failed in ${range.long}`;
  const order = isRetried ? 'Failed jobs are at the bottom of each bar, those to be retried above them' : 'Failed jobs are at the bottom of each bar';
  return plot('Throughput', `${said}${bars.length ? `; at most ${most.toLocaleString('en')} in ${range.each}. ${order}` : ''}.`, range, counted,
    ['Finished', 'Failed', isRetried && 'Retried'].filter(Boolean),
    bars.map(({ index, at, good, bad, again }) => ({
      index, at,
      said: `${good} finished, ${bad} failed${again ? `, ${again} to be retried` : ''}`,
      cells: isRetried ? [good, bad, again] : [good, bad],
      parts: [['bar-bad', 0, bad], ['bar-again', bad, bad + again], ['bar-good', bad + again, bad + again + good]],
    })));
}

// The last ten minutes, from what the event stream told.

// Returns for each ten seconds in which something ended when they began and what ended.
function latest(items) {
  const { count, span } = MINUTES;
  const begin = (Math.ceil(Date.now() / span) - count) * span;
  const made = Array.from({ length: count }, (_, index) => ({ index, at: clock.format(begin + index * span), items: [] }));
  for (const item of items) made[Math.floor((item.at - begin) / span)]?.items.push(item);
  return made.filter((bucket) => bucket.items.length);
}

export function throughput(items) {
  return outcomes(MINUTES, latest(items).map((bucket) => {
    const good = bucket.items.filter((item) => item.isGood).length;
    return { ...bucket, good, bad: bucket.items.length - good, again: 0 };
  }));
}

const at = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
const waits = (items) => items.map((item) => item.wait).filter((wait) => typeof wait === 'number').sort((one, other) => one - other);

export function waiting(items) {
  const all = waits(items);
  return plot('Waiting time', all.length
    ? `Half of the jobs waited up to ${duration(at(all, 0.5))} (strong), 95 of 100 up to ${duration(at(all, 0.95))} (pale).`
    : 'No job started in ten minutes.', MINUTES, timed, ['Half of the jobs', '95 of 100'],
  latest(items).map((bucket) => ({ ...bucket, waits: waits(bucket.items) })).filter((bucket) => bucket.waits.length).map(({ index, at: time, waits: sorted }) => {
    const [half, high] = [at(sorted, 0.5), at(sorted, 0.95)];
    const cells = [duration(half), duration(high)];
    return { index, at: time, said: `half up to ${cells[0]}, 95 of 100 up to ${cells[1]}`, cells, parts: [['bar-half', 0, half], ['bar-high', half, high]] };
  }));
}

// A day or thirty days, from what the workers have counted.

// Returns the three charts. `range` says what they cover: `each` step, `long` in all, `times` below the axis.
export function past(found, range) {
  const begin = Date.parse(found.since);
  const span = found.step_seconds * 1000;
  const steps = found.items.map((item) => ({
    item, index: Math.round((Date.parse(item.at) - begin) / span), at: date.format(new Date(item.at)), runs: item.finished + item.failed + item.retried,
  }));
  const axis = { ...range, count: Math.max(Math.floor((Date.now() - begin) / span) + 1, ...steps.map((step) => step.index + 1)) };
  const runs = sum(steps, 'runs');
  const ended = steps.filter((step) => step.runs);
  const full = steps.filter(({ item }) => item.most_waiting);
  const most = Math.max(0, ...full.map(({ item }) => item.most_waiting));
  const mean = (name) => duration(steps.reduce((total, step) => total + step.item[name] * step.runs, 0) / runs);
  return [
    outcomes(axis, ended.map((step) => ({ ...step, good: step.item.finished, bad: step.item.failed, again: step.item.retried }))),
    plot('Waiting and running time', runs
      ? `On average, a job waited ${mean('mean_wait_seconds')} (strong) and ran for ${mean('mean_duration_seconds')} (pale).`
      : `No job ended in ${range.long}.`, axis, timed, ['Waited', 'Ran'], ended.map(({ index, at: time, item }) => {
      const [wait, run] = [item.mean_wait_seconds, item.mean_duration_seconds];
      const cells = [duration(wait), duration(run)];
      return { index, at: time, said: `waited ${cells[0]}, ran for ${cells[1]}, on average`, cells, parts: [['bar-half', 0, wait], ['bar-high', wait, wait + run]] };
    })),
    plot('Waiting jobs', most ? `At most ${most === 1 ? '1 job' : `${most.toLocaleString('en')} jobs`} waited at once.` : `No job was seen waiting in ${range.long}.`, axis, counted, ['Waited at most'],
      full.map(({ index, at: time, item: { most_waiting: jobs } }) => {
        const cell = jobs.toLocaleString('en');
        return { index, at: time, said: `at most ${cell} waited at once`, cells: [cell], parts: [['bar-half', 0, jobs]] };
      })),
  ];
}
