import type { DockerHost } from '../../lab/docker-host.ts'
import type { Lab } from '../../lab/lab.ts'
import type { UnderlayLink } from '../modes.ts'
import type { Place } from '../place.ts'

/** What a subject is to the comparison. */
export type SubjectKind = 'ours' | 'kernel' | 'swarm' | 'reference' | 'peer'

/** Where subjects are placed: the two Docker hosts of a lab. */
export interface Site {
  readonly lab: Lab
  readonly hosts: readonly [DockerHost, DockerHost]
}

/** A subject where it is measured: both ends, and what works between them. */
export interface Placement {
  /** A container, or a namespace behind a bridge as a container is, on the first host and on the second. */
  readonly client: Place
  readonly server: Place
  /**
   * The numbers, on the real machine, of the processes that carry packets on a host: their time is the
   * subject's. None where the kernel does it, in the context of whoever sends.
   */
  processes(host: DockerHost): readonly number[]
  /**
   * Makes the map of both hosts as large as that of a cluster of so many subnets, those of hosts that do
   * not exist; nothing is ever sent to them. Absent where there is no map to fill.
   */
  readonly fill?: (subnets: number) => Promise<void>
  /** Cables of its own to the underlay, where it cannot share the hosts'. */
  readonly links?: readonly UnderlayLink[]
  /** Leaves the hosts as they were found. */
  remove(): Promise<void>
}

/** A way for containers of two hosts to reach each other. Its file of bench/subjects/ says how it is set up, and why so. */
export interface Candidate {
  /** As the tables call it. */
  readonly name: string
  readonly kind: SubjectKind
  /** How it is set up, for the document: a clause without a full stop. */
  readonly about: string
  /** "wireguard-go 0.0.20220316" */
  version(): Promise<string>
  /** @throws OverlayError when it cannot run here */
  place(site: Site): Promise<Placement>
}

/** A candidate that is placed. */
export type Subject = Pick<Candidate, 'name' | 'kind' | 'about'> &
  Placement & { readonly version: string }

/** A candidate that could not be placed. */
export interface Absentee {
  readonly name: string
  readonly kind: SubjectKind
  readonly why: string
}
