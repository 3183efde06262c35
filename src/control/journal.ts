import { join } from 'node:path'
import { z } from 'zod'
import { addressPool6Record, addressPoolRecord } from '../ipam/address-pool-record.ts'
import type { Log } from '../log.ts'
import { JournalTable } from './journal-table.ts'

const cidrText = z.string().regex(/^\d+\.\d+\.\d+\.\d+\/\d+$/)
const cidr6Text = z.string().regex(/^[\da-f:.]+\/\d+$/)

/** The IPv6 half of a held subnet. */
const heldSubnet6Schema = z.object({
  /** "fd0d:cafe:1:5::/64", the length that containers see. */
  subnet: cidr6Text,
  /** The overlay's; null for routed subnets. */
  pool: cidr6Text.nullable(),
  /** The bridge's address. */
  gateway: z.ipv6(),
  /** null where Docker's own IPAM gives the addresses. */
  addresses: addressPool6Record.nullable(),
})
export type HeldSubnet6 = z.infer<typeof heldSubnet6Schema>

/** A subnet that this host holds, from the moment it is leased until its network is gone. */
export const heldSubnetSchema = z.object({
  /** "10.33.5.0/24"; also the record's name in the journal. */
  subnet: cidrText,
  kind: z.enum(['pooled', 'routed', 'docker']),
  pool: cidrText.nullable(),
  /** The length that containers see: the pool's for pooled subnets, else the subnet's own. */
  prefixLength: z.int().min(1).max(32),
  /** null until the network's name is known. */
  overlay: z.string().nullable(),
  /** 0 until the overlay is known. */
  vni: z.int().min(0),
  /** The bridge's address; outside the subnet only as an anycast address of the pool. */
  gateway: z.ipv4(),
  /** The Docker network that lives in it; null between RequestPool and CreateNetwork. */
  networkId: z.string().nullable(),
  /** Milliseconds since the epoch. */
  since: z.number(),
  /** null where Docker's own IPAM gives the addresses. */
  addresses: addressPoolRecord.nullable(),
  /** null without IPv6 inside. */
  ipv6: heldSubnet6Schema.nullable().default(null),
})
export type HeldSubnet = z.infer<typeof heldSubnetSchema>

/** A Docker network of this host. */
export const networkSchema = z.object({
  id: z.string().min(1),
  /** Key of its held subnet. */
  subnet: cidrText,
  ipam: z.enum(['overlay-ts', 'docker', 'null']),
  /** Docker's name for it, once the event stream told. */
  name: z.string().nullable(),
  internal: z.boolean(),
  /** False where Docker was asked for IPv6 alone (`--ipv4=false`): the containers' IPv4 addresses are then ours only. */
  ipv4: z.boolean().default(true),
  /** As asked with `-o mtu=`; null follows the underlay. */
  mtu: z.int().nullable(),
  /** Whose the way out and published ports are: Docker's docker_gwbridge, or this network's own bridge. */
  egress: z.enum(['docker', 'bridge']).default('docker'),
  /** Of a bridge that was made under an earlier identity of this host; null derives it from the present one. */
  bridgeMac: z.string().nullable().default(null),
})
export type Network = z.infer<typeof networkSchema>

/** A port of a container that is reached at a port of this host. */
const openPortSchema = z.object({
  protocol: z.enum(['tcp', 'udp', 'sctp']),
  /** Of the container. */
  port: z.int().min(1).max(65535),
  /** null: all addresses of this host. */
  hostIp: z.ipv4().nullable(),
  hostPort: z.int().min(1).max(65535),
})
export type OpenPort = z.infer<typeof openPortSchema>

/** A container's attachment to a network. */
export const endpointSchema = z.object({
  id: z.string().min(1),
  networkId: z.string().min(1),
  /** "10.33.5.2/17" */
  address: cidrText,
  /** "fd0d:cafe:1:5::2/64"; null without IPv6 inside. */
  address6: cidr6Text.nullable().default(null),
  mac: z.string(),
  /** What the request left open and the plugin answered: repeated word for word on a retry. */
  answered: z.object({
    address: z.boolean(),
    address6: z.boolean().default(false),
    mac: z.boolean(),
  }),
  /** Path of the container's network namespace between Join and Leave. */
  sandbox: z.string().nullable(),
  /** The subnets of either family that Join gave static routes to. */
  joinedRoutes: z.array(z.union([cidrText, cidr6Text])),
  /** Milliseconds since the epoch; 0 before Join. */
  joinedAt: z.number(),
  /** Published by this plugin; those that Docker publishes are its own affair. */
  ports: z.array(openPortSchema).default([]),
})
export type Endpoint = z.infer<typeof endpointSchema>

/**
 * The host's own truth in the state directory: dockerd does not tell a network twice, so what is
 * not here is forgotten.
 */
export interface Journal {
  readonly subnets: JournalTable<HeldSubnet>
  readonly networks: JournalTable<Network>
  readonly endpoints: JournalTable<Endpoint>
}

export async function openJournal(stateDir: string, log: Log): Promise<Journal> {
  return {
    subnets: await JournalTable.open(join(stateDir, 'subnets'), heldSubnetSchema, log),
    networks: await JournalTable.open(join(stateDir, 'networks'), networkSchema, log),
    endpoints: await JournalTable.open(join(stateDir, 'endpoints'), endpointSchema, log),
  }
}

/** The endpoints of one network. */
export function endpointsOf(journal: Journal, networkId: string): Endpoint[] {
  return journal.endpoints.values().filter((endpoint) => endpoint.networkId === networkId)
}
