import { readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { waitFor } from '../test/support/wait.ts'
import { tryCommand } from './command.ts'
import {
  allRecords,
  cgroupName,
  isAbandoned,
  labDir,
  LABS_DIR,
  netnsName,
  type LabRecord,
} from './record.ts'
import { SWITCH } from './switch.ts'

/**
 * Removes every trace of a lab, whoever made it and however far that got: processes, with them the mounts and the
 * containers; network namespaces; control groups; files. What is gone already is no error.
 */
export async function removeLab(record: LabRecord): Promise<void> {
  const machines = [...record.machines.map(({ name }) => name), SWITCH]
  const namespaces = machines.map((machine) => netnsName(record.name, machine))
  await Promise.all(namespaces.map(killAll))
  await Promise.all(namespaces.map((netns) => tryCommand(['ip', 'netns', 'delete', netns])))
  const root = cgroupRoot()
  if (root !== undefined) {
    const groups = machines.map((machine) => join(root, cgroupName(record.name, machine)))
    await Promise.all(groups.map(removeCgroup))
  }
  rmSync(labDir(record.name), { recursive: true, force: true, maxRetries: 5 })
  removeIfEmpty(LABS_DIR)
}

/** Removes the labs whose processes ended without doing so, and gives their names. */
export async function removeAbandonedLabs(): Promise<string[]> {
  const abandoned = allRecords().filter(isAbandoned)
  await Promise.all(abandoned.map(removeLab))
  return abandoned.map(({ name }) => name)
}

/** Kills a namespace's processes until there are none: process 1 of the machine takes all others with it. */
async function killAll(netns: string): Promise<void> {
  await waitFor(
    async () => {
      const pids = (await tryCommand(['ip', 'netns', 'pids', netns])).split('\n').filter(Boolean)
      for (const pid of pids) kill(Number(pid))
      return pids.length === 0
    },
    { what: `the processes of ${netns} to end`, every: 10 },
  )
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended by itself.
  }
}

/** Where the real machine sees control groups of version 2. */
function cgroupRoot(): string | undefined {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n')
  return mounts.find((line) => line.split(' ')[2] === 'cgroup2')?.split(' ')[1]
}

/** Removes a control group and those in it, waiting for the kernel to let go of the last process. */
async function removeCgroup(path: string): Promise<void> {
  let inner: string[]
  try {
    inner = readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
  } catch {
    return
  }
  for (const name of inner) await removeCgroup(join(path, name))
  for (let tries = 0; tries < 100 && !removeIfEmpty(path); tries++) await sleep(20)
}

function removeIfEmpty(path: string): boolean {
  try {
    rmdirSync(path)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}
