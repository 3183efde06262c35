/** The part of the WebAssembly interface that is used here; the Node types do not declare it. */
declare const WebAssembly: {
  Memory: new (limits: { initial: number; maximum: number; shared: boolean }) => WasmMemory
}
interface WasmMemory {
  readonly buffer: SharedArrayBuffer
}

const PAGE = 65_536

/**
 * All packet bytes of one worker: buffers, header slots, and the structures handed to system calls.
 * Offsets are the only pointers; an address is an offset plus `base`. It is a WebAssembly memory, so
 * that checksums can be summed by SIMD where the packets lie, and it never grows, so it never moves.
 */
export class PacketMemory {
  readonly wasm: WasmMemory
  readonly bytes: Uint8Array
  readonly words: Uint32Array
  /** The same, signed: for what is only copied or compared (bytes.ts loadInt32). */
  readonly ints: Int32Array
  /** The same, for numbers in network order. */
  readonly view: DataView
  /** Address of offset 0 in this process. */
  readonly base: number
  /** Its halves. */
  readonly #low: number
  readonly #high: number
  #used = 64

  /** @param addressOf where the kernel finds the bytes; tests, which call no kernel, leave it out */
  constructor(size: number, addressOf: (bytes: Uint8Array) => number = () => 0) {
    const pages = Math.ceil(size / PAGE)
    this.wasm = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
    this.bytes = new Uint8Array(this.wasm.buffer)
    this.words = new Uint32Array(this.wasm.buffer)
    this.ints = new Int32Array(this.wasm.buffer)
    this.view = new DataView(this.wasm.buffer)
    this.base = addressOf(this.bytes)
    this.#low = this.base | 0
    this.#high = Math.floor(this.base / 0x1_0000_0000)
  }

  /** Sets a region aside for good and returns its offset, a multiple of 64 (a cache line). */
  reserve(length: number): number {
    const at = this.#used
    this.#used = (at + length + 63) & ~63
    if (this.#used > this.bytes.length) throw new RangeError('packet memory is too small')
    return at
  }

  /** Address of an offset for system calls that are made again and again (libc.ts, Pointer). */
  pointerTo(at: number): bigint {
    return BigInt(this.base + at)
  }

  /** Stores the 64-bit address of an offset at a multiple of four. */
  storeAddress(at: number, target: number): void {
    const low = (this.#low + target) | 0
    const carry = low >>> 0 < this.#low >>> 0 ? 1 : 0
    this.ints[at >>> 2] = low
    this.ints[(at >>> 2) + 1] = this.#high + carry
  }
}
