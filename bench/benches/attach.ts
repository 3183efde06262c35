import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import { OverlayError } from '../../src/errors.ts'
import { UnixClient } from '../../test/support/unix-client.ts'
import type { OwnBench } from '../bench.ts'
import { percentile } from '../statistics.ts'

const CONTAINERS = 200

const inspected = z.object({
  Id: z.string(),
  IPAM: z.object({ Config: z.array(z.object({ Subnet: z.string() })) }),
})

/** Speaks dockerd's part on the plugin's socket, so that only the plugin is timed and not dockerd. */
export const attach: OwnBench = {
  kind: 'own',
  name: 'attach',
  title: 'Attaching containers',
  about:
    `What dockerd asks when a container starts, ${CONTAINERS} times one after the other on the plugin's socket: an address, ` +
    'an endpoint (the veth pair on its bridge, journaled with fsync) and its join. Each is taken down again.',
  figures: [
    { id: 'attach-p50', what: 'CreateEndpoint + Join, p50', unit: 'ms', better: 'less' },
    { id: 'attach-p99', what: 'CreateEndpoint + Join, p99', unit: 'ms', better: 'less' },
    { id: 'address-p50', what: 'RequestAddress, p50', unit: 'ms', better: 'less' },
    { id: 'address-p99', what: 'RequestAddress, p99', unit: 'ms', better: 'less' },
    {
      id: 'detach-p50',
      what: 'Leave + DeleteEndpoint + ReleaseAddress, p50',
      unit: 'ms',
      better: 'less',
    },
  ],
  async run({ hosts: [host] }) {
    const network = inspected.parse(
      JSON.parse(await host.docker('network', 'inspect', '-f', '{{json .}}', 'bench')),
    )
    using plugin = new UnixClient(host.pluginSocket)
    const ask = async (method: string, body: object): Promise<Record<string, unknown>> => {
      const { status, json, body: text } = await plugin.call(method, body)
      if (status === 200) return json
      throw new OverlayError('host_state', `${method}: ${text}`)
    }
    const PoolID = `overlay-ts:${network.IPAM.Config[0]!.Subnet}`
    const times = { address: [] as number[], attach: [] as number[], detach: [] as number[] }
    for (let made = 0; made < CONTAINERS; made++) {
      const ids = { NetworkID: network.Id, EndpointID: randomBytes(32).toString('hex') }
      const started = performance.now()
      const { Address } = await ask('IpamDriver.RequestAddress', {
        PoolID,
        Address: '',
        Options: null,
      })
      const addressed = performance.now()
      await ask('NetworkDriver.CreateEndpoint', {
        ...ids,
        Interface: { Address, AddressIPv6: '', MacAddress: '' },
        Options: {},
      })
      await ask('NetworkDriver.Join', {
        ...ids,
        SandboxKey: `/run/docker/netns/${ids.EndpointID.slice(0, 12)}`,
        Options: {},
      })
      const joined = performance.now()
      await ask('NetworkDriver.Leave', ids)
      await ask('NetworkDriver.DeleteEndpoint', ids)
      await ask('IpamDriver.ReleaseAddress', { PoolID, Address: String(Address).split('/')[0] })
      times.address.push(addressed - started)
      times.attach.push(joined - addressed)
      times.detach.push(performance.now() - joined)
    }
    return {
      'attach-p50': percentile(times.attach, 50),
      'attach-p99': percentile(times.attach, 99),
      'address-p50': percentile(times.address, 50),
      'address-p99': percentile(times.address, 99),
      'detach-p50': percentile(times.detach, 50),
    }
  },
}
