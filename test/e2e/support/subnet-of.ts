import assert from 'node:assert/strict'
import type { DockerHost } from '../../../lab/docker-host.ts'
import type { Lab } from '../../../lab/lab.ts'

/** A network's subnet on a host, "10.32.5.0/24": as etcd and as Docker has it, undefined where Docker has none. */
export interface SubnetOfNetwork {
  readonly leased: string
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
  const lease = JSON.parse(await lab.etcd.ctl('get', '--print-value-only', key)) as {
    PublicIP: string
  }
  assert.equal(lease.PublicIP, host.ip, `the holder of ${own.subnet}`)
  const subnet = found.IPAM.Config?.[0]?.Subnet
  return { leased: own.subnet, inspected: subnet === '0.0.0.0/0' ? undefined : subnet }
}
