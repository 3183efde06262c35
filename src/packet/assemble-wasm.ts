/** One function of a module. Names stand for places: "$at i32" is the parameter or local $at of type i32. */
export interface WasmFunction {
  /** That it is exported by. */
  readonly name: string
  readonly parameters: readonly string[]
  readonly result: string | null
  readonly locals: readonly string[]
  /** Instructions and their operands in stack order; `;;` begins a comment. `call` names a function by number. */
  readonly body: string
}

/** Assembles a module that imports a shared memory, `packets.memory`, and exports all functions. */
export function assembleWasm(functions: readonly WasmFunction[]): Uint8Array<ArrayBuffer> {
  // Section 5.5: preamble; types, imports, functions, exports, code.
  return Uint8Array.from(
    [
      [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
      section(1, functions.map(signatureOf)),
      section(2, [[...name('packets'), ...name('memory'), ...SHARED_MEMORY]]),
      section(
        3,
        functions.map((_, index) => unsigned(index)),
      ),
      section(
        7,
        functions.map((each, index) => [...name(each.name), 0x00, ...unsigned(index)]),
      ),
      section(10, functions.map(codeOf)),
    ].flat(),
  )
}

/** WebAssembly core specification 2.0, section 5.4, as far as used. */
const OPCODES: Readonly<Record<string, readonly number[]>> = {
  // Blocks that leave nothing on the stack.
  block: [0x02, 0x40],
  loop: [0x03, 0x40],
  if: [0x04, 0x40],
  end: [0x0b],
  br: [0x0c],
  br_if: [0x0d],
  call: [0x10],
  select: [0x1b],
  'local.get': [0x20],
  'local.set': [0x21],
  // Loads and stores: alignment (0: any address) and offset follow.
  'i64.load8_u': [0x31],
  'i64.load16_u': [0x33],
  'i64.load32_u': [0x35],
  'i32.store': [0x36],
  'i32.const': [0x41],
  'i64.const': [0x42],
  'i32.eqz': [0x45],
  'i32.ne': [0x47],
  'i32.lt_u': [0x49],
  'i32.add': [0x6a],
  'i32.sub': [0x6b],
  'i32.and': [0x71],
  'i32.or': [0x72],
  'i32.shl': [0x74],
  'i32.shr_u': [0x76],
  'i64.add': [0x7c],
  'i64.and': [0x83],
  'i64.shl': [0x86],
  'i64.shr_u': [0x88],
  'i32.wrap_i64': [0xa7],
  'i64.extend_i32_s': [0xac],
  'i64.extend_i32_u': [0xad],
  'v128.load': [0xfd, 0x00],
  'v128.store': [0xfd, 0x0b],
  'i16x8.splat': [0xfd, 0x10],
  'i32x4.extract_lane': [0xfd, 0x1b],
  'v128.and': [0xfd, 0x4e],
  'v128.xor': [0xfd, 0x51],
  'v128.any_true': [0xfd, 0x53],
  'i32x4.add': [0xfd, 0xae, 0x01],
  'i32x4.dot_i16x8_s': [0xfd, 0xba, 0x01],
}

const TYPES: Readonly<Record<string, number>> = { i32: 0x7f, i64: 0x7e, v128: 0x7b }

/** A shared memory of 1 to 65,536 pages: any fits. */
const SHARED_MEMORY = [0x02, 0x03, ...leb(1), ...unsigned(65_536)]

const typeOf = (variable: string): number => TYPES[variable.split(' ')[1]!]!

function signatureOf({ parameters, result }: WasmFunction): number[] {
  const results = result === null ? [] : [[TYPES[result]!]]
  return [0x60, ...vector(parameters.map((each) => [typeOf(each)])), ...vector(results)]
}

function codeOf({ parameters, locals, body }: WasmFunction): number[] {
  const places = new Map(
    [...parameters, ...locals].map((each, place) => [each.split(' ')[0]!, place]),
  )
  const tokens = body.replaceAll(/;;.*/g, '').trim().split(/\s+/)
  const code = tokens.flatMap((token) => {
    const place = places.get(token)
    return place === undefined ? (OPCODES[token] ?? leb(Number(token))) : unsigned(place)
  })
  return sized([...localsOf(locals), ...code, ...OPCODES['end']!])
}

/** How many there are of a type, for each row of locals of one type. */
function localsOf(locals: readonly string[]): number[] {
  const rows: [count: number, type: number][] = []
  for (const type of locals.map(typeOf)) {
    const last = rows.at(-1)
    if (last?.[1] === type) last[0]++
    else rows.push([1, type])
  }
  return vector(rows)
}

function section(id: number, elements: readonly (readonly number[])[]): number[] {
  return [id, ...sized(vector(elements))]
}

function vector(elements: readonly (readonly number[])[]): number[] {
  return [...unsigned(elements.length), ...elements.flat()]
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
