import { existsSync, rmSync } from 'node:fs'
import { IMAGE_CACHE } from './cache.ts'
import { LABS_DIR } from './record.ts'
import { leavesTraces, removeAbandonedLabs, removeLab } from './remove.ts'

/** The lab that outlives the command that made it; another name (LAB_NAME) is another lab beside it. */
export const STANDING_LAB = process.env['LAB_NAME'] || 'overlay-lab'

/** Removes the standing lab and those that an interruption left, and gives their names. */
export async function takeDown(): Promise<string[]> {
  const removed = leavesTraces(STANDING_LAB) ? [STANDING_LAB] : []
  removed.push(...(await removeAbandonedLabs()))
  await removeLab(STANDING_LAB)
  if (!existsSync(LABS_DIR)) rmSync(IMAGE_CACHE, { recursive: true, force: true })
  return removed
}
