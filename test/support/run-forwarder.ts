import { createInterface } from 'node:readline'
import { type DatapathOptions, startDatapath } from '../../src/datapath/datapath.ts'
import type { ForwardingTables } from '../../src/datapath/tables.ts'
import { messageOf } from '../../src/errors.ts'
import { createLog } from '../../src/log.ts'
import { fromJson } from './bigint-json.ts'

/**
 * A forwarder alone in a process, to be started inside a network namespace. The argument and each line
 * on standard input are JSON; each answer is one line on standard output.
 *
 *   argument          ForwarderSetup            → "ready"
 *   {"tables": …}     ForwardingTables          → "programmed"
 *   "counters"                                  → {"tun_reads": …, …}
 *   "stop"                                      → ends with status 0
 */
export interface ForwarderSetup extends Omit<DatapathOptions, 'log'> {
  readonly tables: ForwardingTables
}

export type ForwarderOrder = 'counters' | 'stop' | { readonly tables: ForwardingTables }

async function main(): Promise<void> {
  const setup = fromJson(process.argv[2] ?? '{}') as ForwarderSetup
  const datapath = await startDatapath({ ...setup, log: createLog('warn') })
  datapath.failed.catch((error: unknown) => {
    console.error(messageOf(error))
    process.exit(1)
  })
  datapath.program(setup.tables)
  console.log(JSON.stringify('ready'))

  for await (const line of createInterface({ input: process.stdin })) {
    const order = fromJson(line) as ForwarderOrder
    if (order === 'stop') break
    if (order === 'counters') console.log(JSON.stringify(datapath.counters()))
    else {
      datapath.program(order.tables)
      console.log(JSON.stringify('programmed'))
    }
  }
  await datapath.stop()
  process.stdin.destroy() // an open standard input keeps a process alive
}

// Started as a program, not imported for its types.
if (process.argv[1] === import.meta.filename) {
  await main().catch((error: unknown) => {
    console.error(messageOf(error))
    process.exit(1)
  })
}
