import type { Controller } from '../src/control/controller.ts'
import { heldWith } from '../src/control/held-with.ts'
import type { HeldSubnet } from '../src/control/journal.ts'
import type { SubnetWish } from '../src/control/subnet-wish.ts'
import { ANY_SUBNET6, type Subnet6Wish } from '../src/control/subnet6-wish.ts'
import { OverlayError } from '../src/errors.ts'
import { parseCidr, parseInterfaceAddress } from '../src/net/cidr.ts'
import { parseCidr6, parseInterfaceAddress6 } from '../src/net/cidr6.ts'
import { formatIpv4 } from '../src/net/ipv4.ts'
import { formatIpv6 } from '../src/net/ipv6.ts'
import type { AskedAddresses } from './asked-addresses.ts'
import type { IpamData } from './network-messages.ts'
import type { NetworkOptionValues } from './options.ts'

/** What of the overlay network is spoken with. */
export interface SubnetSide extends Pick<Controller, 'subnets' | 'journal' | 'mirror'> {}

/**
 * The subnet that a new network lives in: leased by RequestPool already, or leased here.
 * @param canLearnNames whether Docker's event stream can tell a network's name
 * @throws OverlayError with the sentence that the user of Docker reads
 */
export async function subnetFor(
  side: SubnetSide,
  asked: AskedAddresses,
  options: NetworkOptionValues,
  canLearnNames: () => boolean,
): Promise<HeldSubnet> {
  const { ipam, ipv4, hasIpv6 } = asked
  if (ipam === 'overlay-ts') return leasedSubnet(side, asked, options, canLearnNames)
  refuseNamelessVni(options)
  if (options.overlay === null && !canLearnNames()) throw nameUnknowable()
  if (ipam === 'null') {
    return side.subnets.lease(nullWish(side, options), null, hasIpv6 ? ANY_SUBNET6 : null)
  }
  const half = asked.ipv6 && dockerHalf(asked.ipv6)
  if (ipv4) return side.subnets.lease(dockerWish(ipv4, options), gatewayOf(ipv4), half)
  const { overlay, vni, subnetLength } = options
  return side.subnets.lease({ kind: 'routed', overlay, vni, subnetLength }, null, half)
}

async function leasedSubnet(
  { journal, subnets }: SubnetSide,
  { ipv4, ipv6 }: AskedAddresses,
  { overlay, vni, subnetLength }: NetworkOptionValues,
  canLearnNames: () => boolean,
): Promise<HeldSubnet> {
  const pool = (ipv4 ?? ipv6)!.Pool
  const held = heldWith(journal, pool)
  if (!held) {
    throw new OverlayError(
      'not_found',
      `this host does not hold the subnet ${pool} (any more); create the network again`,
    )
  }
  if (overlay !== null && held.overlay !== null && held.overlay !== overlay) {
    throw new OverlayError(
      'conflict',
      `-o overlay=${overlay} contradicts --ipam-opt overlay=${held.overlay}; give the same name to both, or leave -o out`,
    )
  }
  const { length } = parseCidr(held.subnet)
  refuseOtherLength(subnetLength, length, 'write it as --ipam-opt subnet-len=')
  if (ipv6) refuseOtherHalf(held, ipv6)
  // Another network, of IPv6 alone, took it for its own a moment ago, and will be refused.
  else if (held.ipv6 !== null) await subnets.giveBackHalf(held.subnet)
  if (held.overlay === null) refuseNamelessVni({ overlay, vni })
  else if (vni !== null && held.vni !== vni) {
    throw new OverlayError(
      'conflict',
      `-o vni=${vni} comes after the overlay ${held.overlay} got the VNI ${held.vni}; choose that of a new overlay with --ipam-opt vni=${vni} instead`,
    )
  }
  if (held.overlay === null && overlay !== null) {
    await subnets.name(held.subnet, overlay, vni)
    const refusal = subnets.refusal(held.subnet)
    if (refusal) throw refusal
  }
  if (held.overlay === null && overlay === null && !canLearnNames()) throw nameUnknowable()
  return held
}

/** Docker asks for the two pools of a network without saying that they belong together. */
function refuseOtherHalf(held: HeldSubnet, ipv6: IpamData): void {
  const found = held.ipv6?.subnet
  if (found !== undefined && parseCidr6(ipv6.Pool).address === parseCidr6(found).address) return
  throw new OverlayError(
    'conflict',
    `two networks with IPv6 were made on this host at once, and Docker took ${ipv6.Pool} of one to ${held.subnet} of the other; run the command again`,
  )
}

/** `--ipam-driver null`: the addresses are ours to give, in the overlay's pool if it has one. */
function nullWish(
  { mirror }: SubnetSide,
  { overlay, vni, subnetLength }: NetworkOptionValues,
): SubnetWish {
  const known = overlay === null ? undefined : mirror.view().overlays.get(overlay)
  return overlay !== null && known?.pool
    ? { kind: 'pooled', overlay, vni, pool: null, poolLength: null, subnetLength, subnet: null }
    : { kind: 'routed', overlay, vni, subnetLength }
}

function dockerWish(
  { Pool }: IpamData,
  { overlay, vni, subnetLength }: NetworkOptionValues,
): SubnetWish {
  const subnet = parseCidr(Pool)
  refuseOtherLength(
    subnetLength,
    subnet.length,
    'write --subnet, or add --ipam-driver overlay-ts and write --ipam-opt subnet-len=',
  )
  return { kind: 'docker', subnet, overlay, vni }
}

const gatewayOf = ({ Gateway }: IpamData): string | null =>
  Gateway === '' ? null : formatIpv4(parseInterfaceAddress(Gateway).ip)

const dockerHalf = ({ Pool, Gateway }: IpamData): Subnet6Wish => ({
  kind: 'docker',
  subnet: parseCidr6(Pool),
  gateway: Gateway === '' ? null : formatIpv6(parseInterfaceAddress6(Gateway).ip),
})

/** A VNI is an overlay's, so it can be chosen only where the overlay is named at once. */
function refuseNamelessVni({ overlay, vni }: Pick<NetworkOptionValues, 'overlay' | 'vni'>): void {
  if (vni === null || overlay !== null) return
  throw new OverlayError(
    'bad_input',
    `-o vni=${vni} needs the name of the overlay that it is for: add -o overlay=NAME`,
  )
}

/** Where the subnet was chosen before, -o subnet-len= can only say what it is. */
function refuseOtherLength(wanted: number | null, found: number, remedy: string): void {
  if (wanted === null || wanted === found) return
  throw new OverlayError(
    'bad_input',
    `-o subnet-len=${wanted} comes after this host's subnet was chosen, which is a /${found}; ${remedy}`,
  )
}

const nameUnknowable = (): OverlayError =>
  new OverlayError(
    'unsupported',
    "overlay-ts cannot learn this network's name, since Docker's event stream is not reachable (DOCKER_HOST); name the overlay: docker network create -d overlay-ts -o overlay=NAME NAME",
  )
