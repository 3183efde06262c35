import { Lab } from '../lab/lab.ts'
import type { DockerHost } from '../lab/docker-host.ts'
import { kernelVxlan } from './subjects/kernel-vxlan.ts'
import { overlayTs } from './subjects/overlay-ts.ts'
import type { Subject } from './subjects/subject.ts'

/** Where the measurements take place: two Docker hosts, and between them each way to be compared. */
export interface Stage {
  readonly hosts: readonly [DockerHost, DockerHost]
  /** The first is ours, the second the reference of the ratios. */
  readonly subjects: readonly [ours: Subject, reference: Subject, ...others: Subject[]]
  readonly rounds: number
  /** Seconds of each measurement. */
  readonly seconds: number
  readonly say: (line: string) => void
}

/** Builds the stage, gives it to the body and removes it, however that ends. */
export async function withStage<T>(
  { rounds, seconds, say }: Pick<Stage, 'rounds' | 'seconds' | 'say'>,
  body: (stage: Stage) => Promise<T>,
): Promise<T> {
  await using lab = await Lab.create({ hosts: ['96', '98'], plugin: 'before docker', onStep: say })
  const hosts: [DockerHost, DockerHost] = [lab.host('96'), lab.host('98')]
  const subjects: Stage['subjects'] = [await overlayTs(...hosts), await kernelVxlan(lab, ...hosts)]
  return await body({ hosts, subjects, rounds, seconds, say })
}
