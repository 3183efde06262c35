import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import { OverlayError } from '../../src/errors.ts'
import { UnixClient } from '../../test/support/unix-client.ts'
import type { Bench, Figure, Target } from '../bench.ts'
import { percentile } from '../statistics.ts'

const CONTAINERS = 200

const inspected = z.object({
  Id: z.string(),
  IPAM: z.object({ Config: z.array(z.object({ Subnet: z.string() })) }),
})

/** Speaks dockerd's part on the plugin's socket, so that only the plugin is timed and not dockerd. */
export const attach: Bench = {
  name: 'attach',
  title: 'Attaching containers',
  about:
    `What dockerd asks when a container starts, ${CONTAINERS} times one after the other on the plugin's socket: an address, ` +
    'an endpoint (the veth pair on its bridge, journaled with fsync) and its join. Each is taken down again.',
  async run({ hosts: [host], say }) {
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
    const figure = (
      what: string,
      values: number[],
      percent: number,
      target: Target | null,
    ): Figure => ({
      what: `${what}, p${percent}`,
      unit: 'ms',
      ours: percentile(values, percent),
      reference: null,
      target,
      note: `${values.length} times`,
    })
    const figures = [
      figure('CreateEndpoint + Join', times.attach, 50, { of: 'ours', atMost: 20 }),
      figure('CreateEndpoint + Join', times.attach, 99, null),
      figure('RequestAddress', times.address, 50, { of: 'ours', atMost: 5 }),
      figure('RequestAddress', times.address, 99, null),
      figure('Leave + DeleteEndpoint + ReleaseAddress', times.detach, 50, null),
    ]
    for (const { what, ours } of figures) say(`${what}: ${ours.toFixed(2)} ms`)
    return figures
  },
}
