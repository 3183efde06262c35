import { createInterface } from 'node:readline'
import {
  type Capabilities,
  type DatapathOptions,
  startDatapath,
  type WorkerShare,
} from '../../src/datapath/datapath.ts'
import { libc } from '../../src/datapath/libc.ts'
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
 *   "status"                                    → ForwarderStatus
 *   {"close": 7}      closes a descriptor       → "closed"
 *   "stop"                                      → ends with status 0
 */
export interface ForwarderSetup extends Omit<DatapathOptions, 'log'> {
  readonly tables: ForwardingTables
  /** Go on when a worker has died, as until its replacement. */
  readonly survives?: boolean
}

export interface ForwarderStatus {
  readonly capabilities: Capabilities
  readonly workers: readonly WorkerShare[]
  /** Why the forwarder is to be replaced, once it is. */
  readonly failure: string | null
}

export type ForwarderOrder =
  | 'counters'
  | 'status'
  | 'stop'
  | { readonly close: number }
  | { readonly tables: ForwardingTables }

async function main(): Promise<void> {
  const setup = fromJson(process.argv[2] ?? '{}') as ForwarderSetup
  const datapath = await startDatapath({ ...setup, log: createLog('warn') })
  let failure: string | null = null
  datapath.failed.catch((error: unknown) => {
    failure = messageOf(error)
    if (setup.survives) return
    console.error(failure)
    process.exit(1)
  })
  datapath.program(setup.tables)
  console.log(JSON.stringify('ready'))

  for await (const line of createInterface({ input: process.stdin })) {
    const order = fromJson(line) as ForwarderOrder
    if (order === 'stop') break
    if (order === 'counters') console.log(JSON.stringify(datapath.counters()))
    else if (order === 'status') {
      const workers = await datapath.workers()
      const status: ForwarderStatus = { capabilities: datapath.capabilities(), workers, failure }
      console.log(JSON.stringify(status))
    } else if ('close' in order) {
      libc.close(order.close)
      console.log(JSON.stringify('closed'))
    } else {
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
