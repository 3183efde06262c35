import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EndpointAddresses } from '../../../src/control/endpoint-addresses.ts'
import { newEndpoint, type EndpointWish } from '../../../src/control/new-endpoint.ts'
import { ANY_SUBNET6 } from '../../../src/control/subnet6-wish.ts'
import { MemoryStore } from '../../../src/store/memory.ts'
import { ControlHost, pooled, writeConfig } from './control-host.ts'
import { held, heldHalf, member } from './control-support.ts'

const wish = (changes: Partial<EndpointWish> = {}): EndpointWish => ({
  id: 'e',
  networkId: 'web',
  address: null,
  address6: null,
  mac: null,
  ...changes,
})

const BOTH = held('10.33.5.0/24', { ipv6: heldHalf('fd00:40:0:5::/64') })

test('what Docker left open is answered, and nothing that it said', () => {
  const network = member('web', BOTH)
  const chosen = { address: '10.33.5.2/17', address6: 'fd00:40:0:5::2/64' }
  const { mac, answered } = newEndpoint(wish(), chosen, network)
  assert.equal(mac, '02:42:0a:21:05:02')
  assert.deepEqual(answered, { address: true, address6: true, mac: true })
  const said = newEndpoint(wish({ ...chosen, mac: '02:42:0A:00:00:01' }), chosen, network)
  assert.deepEqual(said.answered, { address: false, address6: false, mac: false })
})

test('in a network of IPv6 alone the IPv4 address is ours only', () => {
  const network = member('web', BOTH, [], { ipv4: false })
  const chosen = { address: '10.33.5.2/17', address6: 'fd00:40:0:5::2/64' }
  const { mac, answered } = newEndpoint(wish({ address6: chosen.address6 }), chosen, network)
  assert.equal(mac, '02:42:0a:21:05:02')
  assert.deepEqual(answered, { address: false, address6: false, mac: true })
})

test('an IPv6 address is refused outside this host’s subnet, and in a network without IPv6', () => {
  const elsewhere = { address: '10.33.5.2/17', address6: 'fd00:40:0:6::2/64' }
  assert.throws(() => newEndpoint(wish(elsewhere), elsewhere, member('web', BOTH)), {
    code: 'bad_input',
    message:
      "fd00:40:0:6::2 is not in fd00:40:0:5::/64, this host's IPv6 subnet of the network web; choose an address of it, or leave the choice to Docker",
  })
  assert.throws(
    () => newEndpoint(wish(elsewhere), elsewhere, member('web', held('10.33.5.0/24'))),
    {
      code: 'bad_input',
      message: /has no IPv6; leave --ip6 out, or make the network with --ipv6/,
    },
  )
})

test('what was chosen for a wish that failed is given back, and what Docker chose is not', async () => {
  const store = new MemoryStore()
  await writeConfig(store)
  await using host = await ControlHost.start(store, { number: 96 })
  const subnet = (await host.subnets.lease(pooled('web'), null, ANY_SUBNET6)).subnet
  const network = member('web', host.journal.subnets.get(subnet)!)
  const addresses = new EndpointAddresses(host.addresses, host.addresses6)
  const uses = (): number[] => {
    const { addresses: ipv4, ipv6 } = host.journal.subnets.get(subnet)!
    return [ipv4!.uses.length, ipv6!.addresses!.uses.length]
  }
  const chosen = await addresses.choose(wish(), network)
  assert.deepEqual(uses(), [2, 2])
  const half = wish({ address6: chosen.address6 })
  await addresses.undo(half, chosen, network)
  assert.deepEqual(uses(), [1, 2])
  await addresses.undo(wish(), chosen, network)
  assert.deepEqual(uses(), [1, 1])
})
