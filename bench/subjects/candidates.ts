import { kernelVxlan } from './kernel-vxlan.ts'
import { overlayTs } from './overlay-ts.ts'
import type { Candidate } from './subject.ts'

/** All that is compared, in the order of the tables: ours, the reference of the ratios, and the others. */
export const CANDIDATES: readonly [ours: Candidate, reference: Candidate, ...others: Candidate[]] =
  [overlayTs, kernelVxlan]
