// Small helpers: elements, numbers, notices.

export const $ = (id) => document.getElementById(id);

// An element: h('button', {class: 'x', onclick: f, 'aria-label': 'y'}, 'text', other)
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value !== 'string') element[name] = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

const SVG = 'http://www.w3.org/2000/svg';
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

// 12345 -> 12,345; 1234567 -> 1.23M
export function count(number) {
  if (number >= 1e6) return `${(number / 1e6).toFixed(number >= 1e7 ? 1 : 2)}M`;
  return Math.round(number).toLocaleString('en');
}

export function short(number) {
  if (number === null || number === undefined) return '–';
  const size = Math.abs(number);
  if (size >= 1e6 || (size < 1e-3 && size > 0)) return number.toExponential(2);
  return size >= 100 ? number.toFixed(1) : size >= 1 ? number.toFixed(2) : number.toFixed(4);
}

// A line at the top of the page, or at the bottom for some seconds. `name` replaces an earlier one of that name; null text
// removes it.
export function notice(name, text, {action = null, kind = 'info', seconds = 0} = {}) {
  document.querySelector(`.notice[data-name="${name}"]`)?.remove();
  if (text === null) return;
  const line = h('div', {class: `notice ${kind}`, 'data-name': name}, h('span', {}, text));
  if (action) line.append(h('button', {onclick: action.run}, action.label));
  line.append(h('button', {class: 'icon close', 'aria-label': 'Close this message', onclick: () => line.remove()}, '×'));
  $(seconds ? 'toasts' : 'notices').append(line);
  if (seconds) setTimeout(() => line.remove(), seconds * 1000);
}

export const failed = (error, name = 'error') =>
  notice(name, `${error.message ?? error.error ?? error}${error.hint ? ` ${error.hint}` : ''}`, {kind: 'bad'});

// The JSON of an answer; its error as an exception with `hint`.
export async function api(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw Object.assign(new Error('The program behind this page does not answer.'), {hint: 'Is swincli view still running?'});
  }
  if (answer.status === 204) return null;
  const type = answer.headers.get('content-type') ?? '';
  if (!answer.ok) {
    if (!type.includes('json')) throw new Error((await answer.text()).trim() || `The program answers ${answer.status}.`);
    const found = await answer.json();
    throw Object.assign(new Error(`${found.error[0].toUpperCase()}${found.error.slice(1)}.`), {hint: found.hint});
  }
  return type.includes('application/json') ? answer.json() : answer;
}

export function save(blob, name) {
  const link = h('a', {href: URL.createObjectURL(blob), download: name});
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 30000);
}

export const nameOf = (answer) => /filename="([^"]+)"/.exec(answer.headers.get('content-disposition') ?? '')?.[1];

// Lines of JSON as they arrive.
export async function* lines(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  while (true) {
    const {value, done} = await reader.read();
    if (done) break;
    const parts = (rest + value).split('\n');
    rest = parts.pop();
    for (const part of parts) if (part) yield JSON.parse(part);
  }
}
