import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { IpamDriver } from '../../../plugin/drivers.ts'
import { ADDRESS_SPACE, createIpamDriver } from '../../../plugin/ipam-driver.ts'
import { messageOf } from '../../../src/errors.ts'
import { parseCidr } from '../../../src/net/cidr.ts'
import { MemoryStore } from '../../../src/store/memory.ts'
import { ControlHost, docker, writeConfig, type pooled } from '../control/control-host.ts'
import { network } from '../control/control-support.ts'

/** The whole sentence that Docker would show; "" when nothing was refused. */
async function saidBy(call: Promise<unknown>): Promise<string> {
  return call.then(() => '', messageOf)
}

const share = (overlay: string, pool: string, subnet: string): ReturnType<typeof pooled> => ({
  kind: 'pooled',
  overlay,
  vni: null,
  pool: parseCidr(pool),
  poolLength: null,
  subnetLength: null,
  subnet: parseCidr(subnet),
})

/** Two hosts: what this one asks for may be the other's already. */
async function twoHosts(): Promise<{ ipam: IpamDriver; near: ControlHost; far: ControlHost }> {
  const store = new MemoryStore()
  await writeConfig(store)
  const near = await ControlHost.start(store, { number: 96 })
  const far = await ControlHost.start(store, { number: 98 })
  await far.publisher.attempt()
  await far.createNetwork('a'.repeat(64), share('web', '10.40.0.0/16', '10.40.7.0/24'))
  await far.createNetwork('b'.repeat(64), docker('172.20.0.0/16', 'app'))
  await near.mirror.refresh()
  const { journal, subnets, addresses, addresses6 } = near
  const rebuild = { untilSubnet: async () => undefined }
  return { near, far, ipam: createIpamDriver({ journal, subnets, addresses, addresses6, rebuild }) }
}

test('each refusal of a subnet says what was wanted, what stands in the way and what to do', async () => {
  const { ipam, near, far } = await twoHosts()
  await using _near = near
  await using _far = far
  const ask = (words: Record<string, string>): Promise<string> => {
    const { subnet = '', range = '', ...Options } = words
    const request = {
      AddressSpace: ADDRESS_SPACE,
      Pool: subnet,
      SubPool: range,
      Options,
      V6: false,
    }
    return saidBy(ipam.requestPool(request))
  }
  const cases: readonly [Record<string, string>, string][] = [
    [
      { overlay: 'my web' },
      '"my web" cannot name an overlay; use 1 to 64 letters, digits, "_", "." or "-", with a letter or digit first',
    ],
    [
      { subnet: '10.40.0.1/16' },
      '--subnet: "10.40.0.1/16" has bits beyond its prefix length; did you mean 10.40.0.0/16',
    ],
    [
      { subnet: '10.60.0.0/29' },
      '10.60.0.0/29 is too small to be shared by hosts; give a pool of /28 or larger',
    ],
    [
      { subnet: '10.40.128.0/17' },
      'the pool 10.40.128.0/17 overlaps overlay web (10.40.0.0/16); choose another --subnet, or leave it out and name the overlay: --ipam-opt overlay=NAME',
    ],
    [
      { subnet: '172.18.0.0/16' },
      "172.18.0.0/16 cannot be used for containers: it contains this host's own address 172.18.10.96; choose a pool without it: --subnet POOL",
    ],
    [
      { subnet: '10.50.0.0/16', overlay: 'web' },
      'overlay web has the pool 10.40.0.0/16, not 10.50.0.0/16; join it with: docker network create -d overlay-ts --ipam-driver overlay-ts --ipam-opt overlay=web web',
    ],
    [
      { overlay: 'app' },
      'overlay app is routed and has no pool; join it with: docker network create -d overlay-ts -o overlay=app app',
    ],
    [
      { subnet: '10.40.0.0/16', range: '10.40.7.0/24' },
      "--ip-range 10.40.7.0/24 cannot be this host's subnet: it is held by host host-98 (10.40.7.0/24); choose another range, or leave it out",
    ],
    [
      { subnet: '10.40.0.0/16', range: '10.41.7.0/24' },
      "--ip-range 10.41.7.0/24 cannot be this host's subnet: it is not inside the pool 10.40.0.0/16; choose another range, or leave it out",
    ],
  ]
  for (const [words, sentence] of cases) assert.equal(await ask(words), sentence)
})

test('each refusal of an address says whose it is and what to do', async () => {
  const { ipam, near, far } = await twoHosts()
  await using _near = near
  await using _far = far
  const id = 'c'.repeat(64)
  const { PoolID, Pool } = await ipam.requestPool({
    AddressSpace: ADDRESS_SPACE,
    Pool: '10.40.0.0/16',
    SubPool: '10.40.5.0/28',
    Options: {},
    V6: false,
  })
  await near.journal.networks.put(id, network(id, Pool))
  await near.journal.subnets.update(Pool, (mine) => ({ ...mine, networkId: id }))
  const take = (Address: string): Promise<string> =>
    saidBy(ipam.requestAddress({ PoolID, Address, Options: {} }))
  assert.equal(await take('10.40.5.2'), '')
  const cases: readonly [string, string][] = [
    [
      '10.40.5.2',
      '10.40.5.2 is in use by a container in 10.40.5.0/28; choose another address or leave the choice to overlay-ts',
    ],
    [
      '10.40.5.0',
      "10.40.5.0 is this host's own address in 10.40.5.0/28; choose one of 10.40.5.1 to 10.40.5.14",
    ],
    [
      '10.40.7.9',
      "10.40.7.9 is not in 10.40.5.0/28, the subnet of this host; it belongs to 10.40.7.0/24 on host host-98; choose an address of this host's subnet, or run the container where its address lives",
    ],
  ]
  for (const [address, sentence] of cases) assert.equal(await take(address), sentence)
  let last = ''
  while (last === '') last = await take('')
  assert.equal(
    last,
    '10.40.5.0/28 has no free address: 13 of 13 are used; remove containers that are not needed, or make a new overlay whose hosts have more: --ipam-opt subnet-len=27 in a pool of /25 or larger (with --ipam-driver null, -o subnet-len=)',
  )
})
