import { cReference } from './c-reference.ts'
import { fastd } from './fastd.ts'
import { kernelVxlan } from './kernel-vxlan.ts'
import { n2n } from './n2n.ts'
import { openvswitch } from './openvswitch.ts'
import { overlayTs } from './overlay-ts.ts'
import type { Candidate } from './subject.ts'
import { swarm } from './swarm.ts'
import { tinc } from './tinc.ts'
import { wireguardGo } from './wireguard-go.ts'

/** All that is compared, in the order of the tables: ours, the reference of the ratios, and the others. */
export const CANDIDATES: readonly [ours: Candidate, reference: Candidate, ...others: Candidate[]] =
  [overlayTs, kernelVxlan, swarm, cReference, wireguardGo, openvswitch, n2n, fastd, tinc]
