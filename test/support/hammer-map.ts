import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { NO_ENTRY, SubnetMap } from '../../src/datapath/subnet-map.ts'
import type { Ipv4 } from '../../src/net/ipv4.ts'

/**
 * A thread that looks addresses up without a pause, as a forwarder's does, and takes up new maps as they
 * come. All that a map of generation G says is G; the first contradiction ends the thread with an error.
 */
export interface Hammer {
  readonly addresses4: readonly Ipv4[]
  /** Sixteen bytes each. */
  readonly addresses6: Uint8Array
  readonly first: SharedArrayBuffer
}

/** What it says after each map: which generation it has found everywhere in it. */
export interface Taken {
  readonly generation: number
  readonly lookups: number
}

if (parentPort) hammer(workerData as Hammer)

function hammer({ addresses4, addresses6, first }: Hammer): void {
  let map = new SubnetMap(first)
  let lookups = 0
  for (;;) {
    const generation = map.vni(map.lookup(addresses4[0]!))
    for (const address of addresses4) check(map, map.lookup(address), generation)
    for (let at = 0; at < addresses6.length; at += 16) {
      check(map, map.lookup6(addresses6, at), generation)
    }
    lookups += addresses4.length + addresses6.length / 16
    const received = receiveMessageOnPort(parentPort!)
    if (!received) continue
    parentPort!.postMessage({ generation, lookups } satisfies Taken, [])
    if (received.message === 'stop') return
    map = new SubnetMap(received.message as SharedArrayBuffer)
  }
}

function check(map: SubnetMap, entry: number, generation: number): void {
  const peer = map.peer(entry)
  const mac = map.bytes[map.macAt(entry) + 5]
  const found = [map.vni(entry), map.mtu(entry), mac, map.addressOf(peer)]
  if (entry !== NO_ENTRY && found.every((each) => each === generation)) return
  throw new Error(`entry ${entry} says ${found.join(', ')} in generation ${generation}`)
}
