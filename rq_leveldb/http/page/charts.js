// Two charts of the last ten minutes, as SVG with their content in words.

import { duration, el, svg } from './dom.js';

const WIDTH = 600;
const HEIGHT = 112;
const TOP = 6;
const BUCKETS = 60;
const SPAN = 10e3;

function buckets(items) {
  const end = Math.ceil(Date.now() / SPAN) * SPAN;
  const made = Array.from({ length: BUCKETS }, () => []);
  for (const item of items) {
    const index = BUCKETS - Math.ceil((end - item.at) / SPAN);
    if (index >= 0 && index < BUCKETS) made[index].push(item);
  }
  return made;
}

function frame(most, words, ...marks) {
  // The text stays outside the drawing, which is stretched to the available width.
  return el('div', { class: 'plot', 'aria-hidden': 'true' },
    el('span', { class: 'top' }, words(most)), el('span', { class: 'foot' }, '0'),
    svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none' },
      svg('line', { class: 'axis', x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT }),
      svg('line', { class: 'axis', x1: 0, x2: WIDTH, y1: TOP, y2: TOP }),
      ...marks),
    el('span', { class: 'times' }, el('span', null, '10 min ago'), el('span', null, 'now')));
}

const across = (index) => (index * WIDTH) / BUCKETS;
const up = (value, most) => TOP + (1 - value / most) * (HEIGHT - TOP);

export function throughput(items) {
  const made = buckets(items);
  const good = made.map((bucket) => bucket.filter((item) => item.isGood).length);
  const bad = made.map((bucket, index) => bucket.length - good[index]);
  const most = Math.max(1, ...made.map((bucket) => bucket.length));
  const width = WIDTH / BUCKETS - 1.5;
  const bars = made.flatMap((_, index) => {
    const top = up(good[index] + bad[index], most);
    const middle = up(bad[index], most);
    return [
      good[index] && svg('rect', { class: 'bar-good', x: across(index), width, y: top, height: middle - top }),
      bad[index] && svg('rect', { class: 'bar-bad', x: across(index), width, y: middle, height: HEIGHT - middle }),
    ];
  });
  const finished = good.reduce((sum, value) => sum + value, 0);
  const failed = bad.reduce((sum, value) => sum + value, 0);
  return el('figure', null, el('h2', null, 'Throughput'),
    frame(most, String, ...bars),
    el('figcaption', null, `${finished} finished and ${failed} failed in ten minutes; at most ${made.some((b) => b.length) ? most : 0} in ten seconds. Failed jobs are at the bottom of each bar.`));
}

function at(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

export function waiting(items) {
  const timed = items.filter((item) => item.wait !== null && item.wait !== undefined);
  const made = buckets(timed).map((bucket) => bucket.map((item) => item.wait).sort((one, other) => one - other));
  const most = Math.max(0.001, ...made.map((bucket) => bucket.at(-1) ?? 0));
  const line = (share, kind) => {
    const points = made.flatMap((bucket, index) => (bucket.length ? [[across(index + 0.5), up(at(bucket, share), most)]] : []));
    return [
      points.length > 1 && svg('polyline', { class: `curve ${kind}`, points: points.map((point) => point.join(',')).join(' ') }),
      points.length < 8 && points.map(([x, y]) => svg('line', { class: `dot ${kind}`, x1: x, x2: x, y1: y, y2: y })),
    ];
  };
  const all = timed.map((item) => item.wait).sort((one, other) => one - other);
  const words = all.length
    ? `Half of the jobs waited up to ${duration(at(all, 0.5))} (solid), 95 of 100 up to ${duration(at(all, 0.95))} (dashed).`
    : 'No job started in ten minutes.';
  return el('figure', null, el('h2', null, 'Waiting time'), frame(most, duration, ...line(0.5, ''), ...line(0.95, 'high')), el('figcaption', null, words));
}
