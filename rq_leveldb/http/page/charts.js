// Two charts of the last ten minutes: bars for what was, nothing for what was not, and a table of the same numbers.

import { duration, el, svg } from './dom.js';

const WIDTH = 600;
const HEIGHT = 112;
const TOP = 6;
const BUCKETS = 60;
const SPAN = 10e3;
const BAR = WIDTH / BUCKETS - 1.5;

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });

// Returns for each ten seconds when they began and what happened in them.
function buckets(items) {
  const begin = (Math.ceil(Date.now() / SPAN) - BUCKETS) * SPAN;
  const made = Array.from({ length: BUCKETS }, (_, index) => ({ at: clock.format(begin + index * SPAN), items: [] }));
  for (const item of items) made[Math.floor((item.at - begin) / SPAN)]?.items.push(item);
  return made;
}

const across = (index) => (index * WIDTH) / BUCKETS;
const up = (value, most) => TOP + (1 - value / most) * (HEIGHT - TOP);

// `most` is null where there is nothing, and then there is no scale. The text stays outside of the drawing, which is
// stretched to the available width.
function plot(title, said, most, name, columns, bars) {
  const shown = bars.filter(Boolean);
  return el('figure', null, el('h3', null, title),
    el('div', { class: 'plot', 'aria-hidden': 'true' },
      el('span', { class: 'top' }, most === null ? '' : name(most)), el('span', { class: 'foot' }, most === null ? '' : '0'),
      svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none' },
        svg('line', { class: 'axis', x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT }),
        most !== null && svg('line', { class: 'axis', x1: 0, x2: WIDTH, y1: TOP, y2: TOP }),
        shown.map((bar) => svg('g', null, svg('title', null, bar.title),
          svg('rect', { class: 'bar-hover', x: across(bar.index), width: BAR + 1.5, y: 0, height: HEIGHT }),
          bar.parts.map(([kind, from, to]) => to > from && svg('rect', { class: kind, x: across(bar.index), width: BAR, y: up(to, most), height: Math.max(1, up(from, most) - up(to, most)) }))))),
      el('span', { class: 'times' }, el('span', null, '10 min ago'), el('span', null, 'now'))),
    el('figcaption', null, said),
    shown.length > 0 && el('details', { 'data-key': `table ${title}` }, el('summary', { 'data-key': `summary ${title}` }, 'As a table'),
      el('table', { class: 'plain' }, el('caption', null, `${title}, for each ten seconds in which there was something`),
        el('thead', null, el('tr', null, ['From', ...columns].map((text) => el('th', { scope: 'col' }, text)))),
        el('tbody', null, shown.map((bar) => el('tr', null, el('th', { scope: 'row' }, bar.at), bar.cells.map((text) => el('td', { class: 'number' }, text))))))));
}

export function throughput(items) {
  const bars = buckets(items).map((bucket, index) => {
    if (!bucket.items.length) return null;
    const good = bucket.items.filter((item) => item.isGood).length;
    const bad = bucket.items.length - good;
    return { index, at: bucket.at, total: good + bad, good, bad, title: `${bucket.at}: ${good} finished, ${bad} failed`, cells: [good, bad], parts: [['bar-bad', 0, bad], ['bar-good', bad, good + bad]] };
  });
  const shown = bars.filter(Boolean);
  const sum = (name) => shown.reduce((total, bar) => total + bar[name], 0);
  const most = shown.length ? Math.max(...shown.map((bar) => bar.total)) : null;
  return plot('Throughput', `${sum('good')} finished and ${sum('bad')} failed in ten minutes${most === null ? '' : `; at most ${most} in ten seconds. Failed jobs are at the bottom of each bar`}.`, most, String, ['Finished', 'Failed'], bars);
}

const at = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
const waits = (items) => items.map((item) => item.wait).filter((wait) => typeof wait === 'number').sort((one, other) => one - other);

export function waiting(items) {
  const bars = buckets(items).map((bucket, index) => {
    const sorted = waits(bucket.items);
    if (!sorted.length) return null;
    const [half, high] = [at(sorted, 0.5), at(sorted, 0.95)];
    const cells = [duration(half), duration(high)];
    return { index, at: bucket.at, high, title: `${bucket.at}: half up to ${cells[0]}, 95 of 100 up to ${cells[1]}`, cells, parts: [['bar-half', 0, half], ['bar-high', half, high]] };
  });
  const shown = bars.filter(Boolean);
  const all = waits(items);
  const most = shown.length ? Math.max(0.001, ...shown.map((bar) => bar.high)) : null;
  return plot('Waiting time', all.length
    ? `Half of the jobs waited up to ${duration(at(all, 0.5))} (strong), 95 of 100 up to ${duration(at(all, 0.95))} (pale).`
    : 'No job started in ten minutes.', most, duration, ['Half of the jobs', '95 of 100'], bars);
}
