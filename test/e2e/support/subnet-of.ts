import assert from 'node:assert/strict'
import type { DockerHost } from '../../../lab/docker-host.ts'
import type { Lab } from '../../../lab/lab.ts'

/** A network's subnets on a host, "10.32.5.0/24" and "fd00:32:0:5::/64": as etcd and as Docker has them, undefined where there is none. */
export interface SubnetOfNetwork {
  readonly leased: string
  readonly leased6: string | undefined
  readonly inspected: string | undefined
}

interface Inspected {
  readonly Id: string
  readonly IPAM: { readonly Config: readonly { readonly Subnet: string }[] | null }
}

/** @throws when the plugin knows no such network, or etcd no such lease of this host */
export async function subnetOf(
  lab: Lab,
  host: DockerHost,
  network: string,
): Promise<SubnetOfNetwork> {
  const [found] = JSON.parse(await host.docker('network', 'inspect', network)) as [Inspected]
  const state = JSON.parse(await host.admin('/v1/state')) as {
    networks: { id: string; subnet: string }[]
  }
  const own = state.networks.find(({ id }) => id === found.Id)
  assert.ok(own, `${host.name} has no network ${network}`)
  const key = `/overlay-ts/subnets/${own.subnet.replace('/', '-')}`
  // The key may go on with the IPv6 subnet, whose length stands behind a dash too.
  const [found6 = '', value = 'null'] = (await lab.etcd.ctl('get', '--prefix', key)).split('\n')
  const lease = JSON.parse(value) as { PublicIP: string } | null
  assert.equal(lease?.PublicIP, host.ip, `the holder of ${own.subnet}`)
  const leased6 = found6.split('&')[1]?.replace('-', '/')
  const subnet = found.IPAM.Config?.[0]?.Subnet
  return { leased: own.subnet, leased6, inspected: subnet === '0.0.0.0/0' ? undefined : subnet }
}
