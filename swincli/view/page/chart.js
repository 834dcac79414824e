// Line charts in SVG: one or two runs over images seen, with the values under the pointer.

import {count, h, s, short} from './dom.js';

const WIDTH = 420, HEIGHT = 190, LEFT = 46, BOTTOM = 24, TOP = 10, RIGHT = 10;

// `lines` is [{name, points: [[at, value], ...]}], the first one drawn strongest.
export function chart(title, lines) {
  const drawn = lines.filter(({points}) => points.length);
  const all = drawn.flatMap(({points}) => points);
  const [x0, x1] = extent(all.map(([at]) => at), 0), [y0, y1] = extent(all.map(([, value]) => value), 0.06);
  const x = (at) => LEFT + ((at - x0) / (x1 - x0)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - ((value - y0) / (y1 - y0)) * (HEIGHT - TOP - BOTTOM);
  const svg = s('svg', {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', class: 'chart', 'aria-label': words(title, drawn)});
  for (const value of ticks(y0, y1, 4)) {
    svg.append(s('line', {x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: 'rule'}));
    svg.append(s('text', {x: LEFT - 6, y: y(value) + 4, class: 'tick end'}, tidy(value, y1 - y0)));
  }
  for (const at of ticks(x0, x1, 4)) {
    svg.append(s('text', {x: x(at), y: HEIGHT - 7, class: 'tick middle'}, at >= 1000 ? `${+(at / 1000).toFixed(1)}k` : `${at}`));
  }
  drawn.forEach(({points}, index) => {
    svg.append(s('path', {d: `M${points.map(([at, value]) => `${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join('L')}`, class: `line line-${index}`}));
    if (points.length === 1) svg.append(s('circle', {cx: x(points[0][0]), cy: y(points[0][1]), r: 3, class: `dot dot-${index}`}));
  });
  const under = h('span', {class: 'under'}, latest(drawn));
  const marker = s('line', {y1: TOP, y2: HEIGHT - BOTTOM, class: 'marker', visibility: 'hidden'});
  svg.append(marker);
  svg.addEventListener('pointermove', (event) => {
    const box = svg.getBoundingClientRect();
    const at = x0 + (((event.clientX - box.left) / box.width) * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT) * (x1 - x0);
    const found = drawn.map(({points}) => nearest(points, at));
    marker.setAttribute('x1', x(found[0][0]));
    marker.setAttribute('x2', x(found[0][0]));
    marker.setAttribute('visibility', 'visible');
    under.textContent = `${count(found[0][0])}: ${found.map(([, value]) => short(value)).join(' · ')}`;
  });
  svg.addEventListener('pointerleave', () => {
    marker.setAttribute('visibility', 'hidden');
    under.textContent = latest(drawn);
  });
  return h('figure', {class: 'plot', 'data-name': title}, h('figcaption', {}, h('span', {}, title), under), svg);
}

const latest = (drawn) => drawn.map(({points}) => short(points.at(-1)[1])).join(' · ');

function words(title, drawn) {
  return `${title}: ${drawn.map(({name, points}) => `${name} ${short(points.at(-1)[1])} after ${count(points.at(-1)[0])} images`).join('; ')}`;
}

function extent(values, margin) {
  const low = Math.min(...values), high = Math.max(...values), room = (high - low || Math.abs(high) || 1) * margin;
  return high > low ? [low - room, high + room] : [low - (margin ? Math.abs(low) || 1 : 0), high + (Math.abs(high) || 1)];
}

function ticks(low, high, most) {
  const raw = (high - low) / most, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= raw);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + 1e-9 * step; value += step) found.push(Math.abs(value) < step / 1e6 ? 0 : value);
  return found;
}

function tidy(value, range) {
  if (Math.abs(value) >= 10000) return `${+(value / 1000).toFixed(1)}k`;
  const digits = Math.max(0, Math.min(5, 1 - Math.floor(Math.log10(range))));
  return value && Math.abs(value) < 1e-4 ? value.toExponential(0) : String(+value.toFixed(digits));
}

function nearest(points, at) {
  return points.reduce((best, point) => (Math.abs(point[0] - at) < Math.abs(best[0] - at) ? point : best));
}
