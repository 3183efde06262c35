/**
 * Times the operations of the datapath one by one and prints them as JSON, an array of MicroResult. Run
 * by itself, so that nothing else is on the heap: `npm run bench -- micro` does.
 */
import { buildSubnetMap } from '../../src/datapath/build-subnet-map.ts'
import { MAC_B } from '../../test/support/naive-ports.ts'
import type { MicroResult } from '../results.ts'
import { median } from '../statistics.ts'
import { allocatedBy, type Repeat } from './allocation.ts'
import { ipv4Subnets, OPERATIONS } from './operations.ts'

/** Long enough for a clock, short enough to lie between two interruptions now and then. */
const BATCH_MS = 10
const BATCHES = 15
const SUBNETS = 65_536

const results: MicroResult[] = OPERATIONS.map(({ what, bytes, repeat, preparation }) => {
  const allocated = allocatedBy(repeat)
  const times = timesFor(repeat)
  const both = median(batches(repeat, times))
  const prepared = median(batches(preparation, times))
  return { what, bytes, allocated, nanoseconds: both - prepared }
})
const remote = ipv4Subnets(SUBNETS)
const lay: Repeat = () => buildSubnetMap({ vtepMac: MAC_B, local: [], remote })
results.push({
  what: `lay out a map of ${SUBNETS.toLocaleString('en')} subnets`,
  bytes: null,
  allocated: null,
  nanoseconds: median(batches(lay, 1)),
})
console.log(JSON.stringify(results))

/** Nanoseconds of one time, in each batch. */
function batches(repeat: Repeat, times: number): number[] {
  return Array.from({ length: BATCHES }, () => {
    const started = performance.now()
    repeat(times)
    return ((performance.now() - started) * 1e6) / times
  })
}

/** How often it fits into a batch. */
function timesFor(repeat: Repeat): number {
  for (let times = 1; ; times *= 2) {
    const started = performance.now()
    repeat(times)
    if (performance.now() - started >= BATCH_MS) return times
  }
}
