// A traceback with the application's own frames first.

import { el } from './dom.js';

// Frames of RQ and of the worker, between which the application's function is called.
const OURS = /^ {2}File "[^"]*(?:(?:site|dist)-packages\/rq\/|\/rq_leveldb\/worker\/)/;
const FRAME = /^ {2}File "/;

// Returns the text without RQ's frames, and how many those were.
export function ownFrames(text) {
  let hidden = 0;
  let isHiding = false;
  const kept = text.split('\n').filter((line) => {
    if (FRAME.test(line)) {
      isHiding = OURS.test(line);
      hidden += isHiding;
    } else if (!line.startsWith(' ')) isHiding = false;
    return !isHiding;
  });
  return [kept.join('\n').trimEnd(), hidden];
}

export function traceback(text, title) {
  const [own, hidden] = ownFrames(text);
  return el('section', { class: 'card failure', 'aria-label': 'Error' },
    el('h2', { class: 'problem' }, title),
    own !== title && el('pre', { tabindex: 0, 'aria-label': 'Traceback', 'data-key': 'own frames' }, own),
    hidden > 0 && el('details', { 'data-key': 'whole traceback' },
      el('summary', { 'data-key': 'whole traceback summary' }, `Whole traceback, with ${hidden} frames of RQ`),
      el('pre', { tabindex: 0, 'aria-label': 'Whole traceback' }, text)));
}
