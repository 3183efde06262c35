import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { writeDurably } from '../durable-file.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import { derivedMac, type Mac } from '../net/mac.ts'

const fileSchema = z.object({
  hostId: z.string().regex(/^[0-9a-f]{32}$/),
  instances: z.array(z.string().min(1)),
})

/** A machine that never reaches the store would otherwise add to its file at every start. */
const MOST_EARLIER = 100

/** Who this machine is in the cluster, whatever its address. */
export interface HostIdentity {
  readonly hostId: string
  /** MAC of the tunnel end; stays with the HostID. */
  readonly vtepMac: Mac
  /** Token of this process. */
  readonly instance: string
  /** Tokens under which earlier processes of this machine may still stand in the store. */
  readonly earlier: ReadonlySet<string>
  /** Told once the store shows this process: earlier ones are history, and a clone if met again. */
  confirm(): Promise<void>
}

/**
 * Reads `STATE_DIR/host-id`, making a random one on the first start, and adds the token of this
 * process. Two machines with one HostID, one cloned from the other, show by their tokens: each knows
 * only its own. A damaged file is set aside: the leases of the old identity are taken over like those
 * of one that was lost (judgeNetworks).
 */
export async function readHostIdentity(stateDir: string, log: Log): Promise<HostIdentity> {
  await mkdir(stateDir, { recursive: true, mode: 0o700 })
  const path = join(stateDir, 'host-id')
  const stored = await readStored(path, log)
  const hostId = stored?.hostId ?? randomBytes(16).toString('hex')
  const instance = randomBytes(8).toString('hex')
  const earlier = stored?.instances ?? []
  const store = (instances: readonly string[]): Promise<void> =>
    writeDurably(path, `${JSON.stringify({ hostId, instances })}\n`)
  await store([...earlier.slice(-MOST_EARLIER), instance])
  return {
    hostId,
    vtepMac: derivedMac('vtep', hostId),
    instance,
    earlier: new Set(earlier),
    confirm: () => store([instance]),
  }
}

async function readStored(path: string, log: Log): Promise<z.infer<typeof fileSchema> | null> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  try {
    return fileSchema.parse(JSON.parse(text))
  } catch (error) {
    await rename(path, `${path}.broken`)
    log.error(
      { file: path, reason: messageOf(error) },
      'the file does not hold a host identity; it is set aside as .broken, and this host gets a new one',
    )
    return null
  }
}
