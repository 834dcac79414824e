// The WebSocket: the newest request of every slot, answers with pictures, and a connection that comes back.

export class Link extends EventTarget {
  constructor() {
    super();
    this.slots = new Map();
    this.number = 0;
    this.wait = 250;
    this.connect();
  }

  connect() {
    this.socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/api/socket`);
    this.socket.binaryType = 'arraybuffer';
    this.socket.onopen = () => {
      this.wait = 250;
      for (const slot of this.slots.values()) slot.sent = null;
      this.dispatchEvent(new Event('open'));
    };
    this.socket.onclose = () => {
      this.dispatchEvent(new Event('lost'));
      setTimeout(() => this.connect(), this.wait);
      this.wait = Math.min(4000, this.wait * 1.7);
    };
    this.socket.onmessage = (event) => {
      if (typeof event.data === 'string') this.dispatchEvent(new CustomEvent('news', {detail: JSON.parse(event.data)}));
      else this.answered(event.data);
    };
  }

  get isOpen() { return this.socket.readyState === WebSocket.OPEN; }

  // Ask for the newest state of a slot. `heard(header, blobs)` is called for each answer.
  ask(name, request, heard) {
    const slot = this.slots.get(name) ?? {sent: null, next: null};
    this.slots.set(name, slot);
    slot.next = {request, heard};
    if (slot.sent === null) this.send(name, slot);
  }

  send(name, slot) {
    if (!this.isOpen || slot.next === null) return;
    this.number += 1;
    slot.sent = {...slot.next, number: this.number, at: performance.now()};
    slot.next = null;
    this.socket.send(JSON.stringify({slot: name, number: this.number, ...slot.sent.request}));
  }

  answered(data) {
    const size = new DataView(data).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, size)));
    const slot = this.slots.get(header.slot);
    if (!slot?.sent || slot.sent.number !== header.number) return;
    let at = 4 + size;
    const media = (index) => (Array.isArray(header.media) ? header.media[index] : header.media);
    const blobs = header.sizes.map((length, index) => {
      at += length;
      return new Blob([new Uint8Array(data, at - length, length)], {type: media(index)});
    });
    const {heard, at: asked} = slot.sent;
    const more = !header.error && (header.preview === true || header.last === false);
    if (!more) slot.sent = null;
    if (slot.next !== null) this.send(header.slot, slot); // what is newer comes first
    heard({...header, milliseconds: performance.now() - asked}, blobs);
  }
}
