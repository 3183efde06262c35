import { assembleWasm, type WasmFunction } from './assemble-wasm.ts'

/** The part of the WebAssembly interface that is used here; the Node types do not declare it. */
declare const WebAssembly: {
  Module: new (code: Uint8Array<ArrayBuffer>) => object
  Instance: new (
    module: object,
    imports: { packets: { memory: unknown } },
  ) => { readonly exports: PacketSimd }
}

/** What is done to many bytes of packet memory at a time. Offsets and lengths are in bytes. */
export interface PacketSimd {
  /** The function of checksum.ts sumOf(), several times as fast. */
  readonly sum: (at: number, length: number) => number
  /** The sum of each part of a size, at least 1, the last of which may be shorter, as 32-bit words from `sums` on. */
  readonly sumEach: (at: number, length: number, size: number, sums: number) => void
  /** How many parts, from the first on, have that sum. They lie at a distance from each other. */
  readonly countSums: (
    at: number,
    length: number,
    distance: number,
    count: number,
    sum: number,
  ) => number
  /**
   * How many parts, from the first on, equal the one before where the mask has bits set. They lie at a distance
   * from each other, and the first as far from the one before it. The length is at least 16.
   */
  readonly countAlike: (
    at: number,
    length: number,
    distance: number,
    count: number,
    mask: number,
  ) => number
  /** Copies a part to so many places, one behind the other. The length is at least 16, the count at least 1. */
  readonly repeat: (from: number, length: number, to: number, count: number) => void
}

/** Functions over a shared WebAssembly memory, whose program is assembled here, from the text below. */
export function packetSimd(memory: unknown): PacketSimd {
  const module = new WebAssembly.Module(assembledPacketSimd())
  return new WebAssembly.Instance(module, { packets: { memory } }).exports
}

/** The bytes of the WebAssembly module. */
export function assembledPacketSimd(): Uint8Array<ArrayBuffer> {
  return assembleWasm([SUM, SUM_EACH, COUNT_SUMS, COUNT_ALIKE, REPEAT])
}

const addLane = (lane: number): string => `
  local.get $total
  local.get $lanes  i32x4.extract_lane ${lane}  i64.extend_i32_s
  i64.add  local.set $total`

const foldTotal = `
  local.get $total  i64.const 65535  i64.and
  local.get $total  i64.const 16  i64.shr_u
  i64.add  local.set $total`

const addEight = (lanes: string, offset: number): string => `
  local.get ${lanes}
  local.get $at  v128.load 0 ${offset}  local.get $flip  v128.xor
  local.get $ones  i32x4.dot_i16x8_s
  i32x4.add  local.set ${lanes}`

/**
 * Words are summed as the machine's, little-endian, which only swaps the bytes of the result (RFC 1071
 * section 2 B), and a word of 32 bits adds the same, modulo 65,535, as its halves. The instruction that adds
 * words in pairs takes them as signed, so each is made smaller by 32,768 first, which is added again in the
 * end. Lanes hold the sum of 512 KB.
 */
const SUM: WasmFunction = {
  name: 'sum',
  parameters: ['$at i32', '$length i32'],
  result: 'i32',
  locals: ['$stop i32', '$total i64', '$lanes v128', '$others v128', '$flip v128', '$ones v128'],
  body: `
  ;; stop = at + (length & ~31): 32 bytes a turn
  local.get $at  local.get $length  i32.const -32  i32.and  i32.add  local.set $stop
  local.get $at  local.get $stop  i32.lt_u  if
    i32.const 32768  i16x8.splat  local.set $flip
    i32.const 1  i16x8.splat  local.set $ones
    loop
      ${addEight('$lanes', 0)}
      ${addEight('$others', 16)}
      local.get $at  i32.const 32  i32.add  local.set $at
    local.get $at  local.get $stop  i32.lt_u  br_if 0  end
    local.get $lanes  local.get $others  i32x4.add  local.set $lanes
    local.get $length  i32.const -32  i32.and  i64.extend_i32_u  i64.const 14  i64.shl  local.set $total
    ${[0, 1, 2, 3].map(addLane).join('')}
  end

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
  i32.or`,
}

const SUM_EACH: WasmFunction = {
  name: 'sumEach',
  parameters: ['$at i32', '$length i32', '$size i32', '$sums i32'],
  result: null,
  locals: [],
  body: `
  loop
    local.get $size  local.get $length  local.get $size  local.get $length  i32.lt_u  select  local.set $size
    local.get $sums
    local.get $at  local.get $size  call 0
    i32.store 0 0
    local.get $at  local.get $size  i32.add  local.set $at
    local.get $sums  i32.const 4  i32.add  local.set $sums
    local.get $length  local.get $size  i32.sub  local.set $length
  local.get $length  br_if 0  end`,
}

const COUNT_SUMS: WasmFunction = {
  name: 'countSums',
  parameters: ['$at i32', '$length i32', '$distance i32', '$count i32', '$sum i32'],
  result: 'i32',
  locals: ['$left i32'],
  body: `
  local.get $count  local.set $left
  block loop
    local.get $left  i32.eqz  br_if 1
    local.get $at  local.get $length  call 0
    local.get $sum  i32.ne  br_if 1
    local.get $at  local.get $distance  i32.add  local.set $at
    local.get $left  i32.const 1  i32.sub  local.set $left
  br 0  end end
  local.get $count  local.get $left  i32.sub`,
}

/** By 16 bytes at a time; the last of them end with the part, and may overlap those before. */
const eachBlock = (body: string): string => `
    i32.const 0  local.set $done
    loop
      ${body}
      local.get $done  local.get $last  i32.lt_u  if
        local.get $done  i32.const 16  i32.add  local.set $done
        local.get $last  local.get $done  local.get $last  local.get $done  i32.lt_u  select  local.set $done
    br 1  end end`

const COUNT_ALIKE: WasmFunction = {
  name: 'countAlike',
  parameters: ['$at i32', '$length i32', '$distance i32', '$count i32', '$mask i32'],
  result: 'i32',
  locals: ['$left i32', '$done i32', '$last i32'],
  body: `
  local.get $length  i32.const 16  i32.sub  local.set $last
  local.get $count  local.set $left
  block loop
    local.get $left  i32.eqz  br_if 1
    ${eachBlock(`
      local.get $at  local.get $done  i32.add  v128.load 0 0
      local.get $at  local.get $distance  i32.sub  local.get $done  i32.add  v128.load 0 0
      v128.xor
      local.get $mask  local.get $done  i32.add  v128.load 0 0
      v128.and
      v128.any_true  br_if 2`)}
    local.get $at  local.get $distance  i32.add  local.set $at
    local.get $left  i32.const 1  i32.sub  local.set $left
  br 0  end end
  local.get $count  local.get $left  i32.sub`,
}

const REPEAT: WasmFunction = {
  name: 'repeat',
  parameters: ['$from i32', '$length i32', '$to i32', '$count i32'],
  result: null,
  locals: ['$done i32', '$last i32'],
  body: `
  local.get $length  i32.const 16  i32.sub  local.set $last
  loop
    ${eachBlock(`
      local.get $to  local.get $done  i32.add
      local.get $from  local.get $done  i32.add  v128.load 0 0
      v128.store 0 0`)}
    local.get $to  local.get $length  i32.add  local.set $to
    local.get $count  i32.const 1  i32.sub  local.set $count
  local.get $count  br_if 0  end`,
}
