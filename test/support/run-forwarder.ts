import { createInterface } from 'node:readline'
import { type DatapathOptions, startDatapath } from '../../src/datapath/datapath.ts'
import type { ForwardingTables } from '../../src/datapath/tables.ts'
import { messageOf } from '../../src/errors.ts'
import { createLog } from '../../src/log.ts'
import { parseCidr } from '../../src/net/cidr.ts'
import { parseIpv4 } from '../../src/net/ipv4.ts'

/**
 * A forwarder alone in a process, to be started inside a network namespace. The argument and each line
 * on standard input are JSON; each answer is one line on standard output.
 *
 *   argument          ForwarderSetup            → "ready"
 *   {"tables": …}     ForwarderTables           → "programmed"
 *   "counters"                                  → {"tun_reads": …, …}
 *   "stop"                                      → ends with status 0
 */
export interface ForwarderTables {
  readonly vtepMac: string
  readonly local: readonly { readonly subnet: string; readonly vni: number }[]
  readonly remote: readonly {
    readonly subnet: string
    readonly vni: number
    readonly publicIp: string
    readonly vtepMac: string
    readonly mtu: number
  }[]
}

export interface ForwarderSetup {
  readonly bindIp: string
  readonly port: number
  readonly tunName: string
  readonly workers: number
  readonly tables: ForwarderTables
}

export type ForwarderOrder = 'counters' | 'stop' | { readonly tables: ForwarderTables }

function parseTables(tables: ForwarderTables): ForwardingTables {
  return {
    vtepMac: tables.vtepMac,
    local: tables.local.map((local) => ({ ...local, subnet: parseCidr(local.subnet) })),
    remote: tables.remote.map((remote) => ({
      ...remote,
      subnet: parseCidr(remote.subnet),
      publicIp: parseIpv4(remote.publicIp),
    })),
  }
}

async function main(): Promise<void> {
  const setup = JSON.parse(process.argv[2] ?? '{}') as ForwarderSetup
  const options: DatapathOptions = {
    bindIp: parseIpv4(setup.bindIp),
    port: setup.port,
    tunName: setup.tunName,
    workers: setup.workers,
    log: createLog('warn'),
  }
  const datapath = await startDatapath(options)
  datapath.failed.catch((error: unknown) => {
    console.error(messageOf(error))
    process.exit(1)
  })
  datapath.program(parseTables(setup.tables))
  console.log(JSON.stringify('ready'))

  for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line) as ForwarderOrder
    if (order === 'stop') break
    if (order === 'counters') console.log(JSON.stringify(datapath.counters()))
    else {
      datapath.program(parseTables(order.tables))
      console.log(JSON.stringify('programmed'))
    }
  }
  await datapath.stop()
}

// Started as a program, not imported for its types.
if (process.argv[1] === import.meta.filename) {
  await main().catch((error: unknown) => {
    console.error(messageOf(error))
    process.exit(1)
  })
}
