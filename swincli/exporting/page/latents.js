// Codes z of seeds as PyTorch draws them on a CPU: the Mersenne Twister (Matsumoto and Nishimura, 1998) and Box-Muller.
// So a seed gives the picture that `swincli sample` gives.

const LENGTH = 624, SHIFT = 397;
const GROUP = 16; // PyTorch draws this many normal numbers at once

class MersenneTwister {
  constructor(seed) {
    this.state = new Uint32Array(LENGTH);
    this.state[0] = seed;
    for (let i = 1; i < LENGTH; i++) {
      const before = this.state[i - 1];
      this.state[i] = Math.imul(1812433253, before ^ (before >>> 30)) + i;
    }
    this.next = LENGTH;
  }

  // 32 random bits.
  draw() {
    if (this.next === LENGTH) this.renew();
    let y = this.state[this.next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  renew() {
    const state = this.state;
    for (let i = 0; i < LENGTH; i++) {
      const mixed = (state[i] & 0x80000000) | (state[(i + 1) % LENGTH] & 0x7fffffff);
      state[i] = state[(i + SHIFT) % LENGTH] ^ (mixed >>> 1) ^ (mixed & 1 ? 0x9908b0df : 0);
    }
    this.next = 0;
  }

  // A number of 24 bits from 0 to 1, as float32 has them.
  uniform() {
    return (this.draw() & 0xffffff) / 0x1000000;
  }

  // A number of 53 bits from 0 to 1.
  uniformDouble() {
    const high = this.draw() & 0x1fffff;
    return (high * 0x100000000 + this.draw()) / 0x20000000000000;
  }
}

function drawGroup(random, values, start) {
  for (let i = 0; i < GROUP; i++) values[start + i] = random.uniform();
}

function boxMuller(values, start) {
  for (let i = start; i < start + GROUP / 2; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - values[i]));
    const angle = 2 * Math.PI * values[i + GROUP / 2];
    values[i] = radius * Math.cos(angle);
    values[i + GROUP / 2] = radius * Math.sin(angle);
  }
}

// z of a seed: `length` numbers ~ N(0, 1).
export function latentOf(seed, length) {
  const random = new MersenneTwister(seed), z = new Float32Array(length);
  if (length < GROUP) return drawOneByOne(random, z);
  for (let i = 0; i < length; i++) z[i] = random.uniform();
  for (let start = 0; start + GROUP <= length; start += GROUP) boxMuller(z, start);
  if (length % GROUP) {
    drawGroup(random, z, length - GROUP);
    boxMuller(z, length - GROUP);
  }
  return z;
}

function drawOneByOne(random, z) {
  for (let i = 0; i < z.length; i += 2) {
    const angle = 2 * Math.PI * random.uniformDouble();
    const radius = Math.sqrt(-2 * Math.log1p(-random.uniformDouble()));
    z[i] = radius * Math.cos(angle);
    if (i + 1 < z.length) z[i + 1] = radius * Math.sin(angle);
  }
  return z;
}
