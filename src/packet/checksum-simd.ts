/** The part of the WebAssembly interface that is used here; the Node types do not declare it. */
declare const WebAssembly: {
  Module: new (code: Uint8Array<ArrayBuffer>) => object
  Instance: new (
    module: object,
    imports: { packets: { memory: unknown } },
  ) => { readonly exports: { readonly sum: (at: number, length: number) => number } }
}

/**
 * The function of checksum.ts sumOf(), several times as fast, over a shared WebAssembly memory. Its
 * program is assembled here when the module is loaded, from the text below.
 */
export function simdSum(memory: unknown): (at: number, length: number) => number {
  const module = new WebAssembly.Module(assembledSum())
  return new WebAssembly.Instance(module, { packets: { memory } }).exports.sum
}

/** The bytes of the WebAssembly module that has the function `sum`. */
export function assembledSum(): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(MODULE)
}

/** WebAssembly core specification 2.0, section 5.4, as far as used. */
const OPCODES: Readonly<Record<string, readonly number[]>> = {
  // Blocks that leave nothing on the stack.
  loop: [0x03, 0x40],
  if: [0x04, 0x40],
  end: [0x0b],
  br_if: [0x0d],
  'local.get': [0x20],
  'local.set': [0x21],
  // Loads: alignment (0: any address) and offset follow.
  'i64.load8_u': [0x31],
  'i64.load16_u': [0x33],
  'i64.load32_u': [0x35],
  'i32.const': [0x41],
  'i64.const': [0x42],
  'i32.lt_u': [0x49],
  'i32.add': [0x6a],
  'i32.and': [0x71],
  'i32.or': [0x72],
  'i32.shl': [0x74],
  'i32.shr_u': [0x76],
  'i64.add': [0x7c],
  'i64.and': [0x83],
  'i64.shr_u': [0x88],
  'i32.wrap_i64': [0xa7],
  'i64.extend_i32_u': [0xad],
  'v128.load': [0xfd, 0x00],
  'i32x4.extract_lane': [0xfd, 0x1b],
  'i32x4.extadd_pairwise_i16x8_u': [0xfd, 0x7f],
  'i32x4.add': [0xfd, 0xae, 0x01],
  // The two parameters and the locals.
  $at: [0],
  $length: [1],
  $stop: [2],
  $total: [3],
  $even: [4],
  $odd: [5],
}

const I32 = 0x7f
const I64 = 0x7e
const V128 = 0x7b

const addLane = (lanes: string, lane: number): string => `
  local.get $total
  local.get ${lanes}  i32x4.extract_lane ${lane}  i64.extend_i32_u
  i64.add  local.set $total`

const foldTotal = `
  local.get $total  i64.const 65535  i64.and
  local.get $total  i64.const 16  i64.shr_u
  i64.add  local.set $total`

/**
 * Words are summed as the machine's, little-endian, which only swaps the bytes of the result (RFC 1071
 * section 2 B), and a word of 32 bits adds the same, modulo 65,535, as its halves. Lanes hold the sum
 * of 1 MB without losing a carry.
 */
const SUM = `
  ;; stop = at + (length & ~31): 32 bytes a turn
  local.get $at  local.get $length  i32.const -32  i32.and  i32.add  local.set $stop
  local.get $at  local.get $stop  i32.lt_u  if  loop
    local.get $even
    local.get $at  v128.load 0 0  i32x4.extadd_pairwise_i16x8_u
    i32x4.add  local.set $even
    local.get $odd
    local.get $at  v128.load 0 16  i32x4.extadd_pairwise_i16x8_u
    i32x4.add  local.set $odd
    local.get $at  i32.const 32  i32.add  local.set $at
  local.get $at  local.get $stop  i32.lt_u  br_if 0  end  end
  ${[0, 1, 2, 3].map((lane) => addLane('$even', lane) + addLane('$odd', lane)).join('')}

  ;; stop = at + (length & 28): 4 bytes a turn
  local.get $at  local.get $length  i32.const 28  i32.and  i32.add  local.set $stop
  local.get $at  local.get $stop  i32.lt_u  if  loop
    local.get $total  local.get $at  i64.load32_u 0 0  i64.add  local.set $total
    local.get $at  i32.const 4  i32.add  local.set $at
  local.get $at  local.get $stop  i32.lt_u  br_if 0  end  end

  ;; the last pair, the last odd byte
  local.get $length  i32.const 2  i32.and  if
    local.get $total  local.get $at  i64.load16_u 0 0  i64.add  local.set $total
    local.get $at  i32.const 2  i32.add  local.set $at
  end
  local.get $length  i32.const 1  i32.and  if
    local.get $total  local.get $at  i64.load8_u 0 0  i64.add  local.set $total
  end

  ;; 36 bits are 16 after four folds; then into network order
  ${foldTotal}  ${foldTotal}  ${foldTotal}  ${foldTotal}
  local.get $total  i32.wrap_i64  i32.const 8  i32.shr_u
  local.get $total  i32.wrap_i64  i32.const 255  i32.and  i32.const 8  i32.shl
  i32.or
  end`

/** A shared memory of 1 to 65,536 pages: any fits. */
const SHARED_MEMORY = [0x02, 0x03, ...leb(1), ...unsigned(65_536)]

/** Section 5.5: preamble; types, imports, functions, exports, code. */
const MODULE: readonly number[] = [
  [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  section(1, [0x60, 2, I32, I32, 1, I32]),
  section(2, [...name('packets'), ...name('memory'), ...SHARED_MEMORY]),
  section(3, [0]),
  section(7, [...name('sum'), 0x00, 0]),
  section(10, sized([3, 1, I32, 1, I64, 2, V128, ...assemble(SUM)])),
].flat()

/** Instructions and their operands in stack order; `;;` begins a comment. */
function assemble(text: string): number[] {
  const tokens = text.replaceAll(/;;.*/g, '').trim().split(/\s+/)
  return tokens.flatMap((token) => OPCODES[token] ?? leb(Number(token)))
}

/** A section of one element. */
function section(id: number, element: readonly number[]): number[] {
  return [id, ...sized([1, ...element])]
}

function sized(content: readonly number[]): number[] {
  return [...unsigned(content.length), ...content]
}

function name(text: string): number[] {
  return sized([...new TextEncoder().encode(text)])
}

/** Signed LEB128; below 64 it is the unsigned form too. */
function leb(value: number): number[] {
  const isLast = value >= -0x40 && value < 0x40
  return isLast ? [value & 0x7f] : [(value & 0x7f) | 0x80, ...leb(value >> 7)]
}

function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)]
}
