import { z } from 'zod'

/**
 * Values as Go's encoding/json writes them: a nil map or slice is `null`, a field may be left out,
 * and both mean the empty value of its type.
 */

export const goText = z
  .string()
  .nullish()
  .transform((value) => value ?? '')

export const goFlag = z
  .boolean()
  .nullish()
  .transform((value) => value ?? false)

export const goStrings = z
  .record(z.string(), z.string())
  .nullish()
  .transform((value): Record<string, string> => value ?? {})

export function goList<Item extends z.ZodType>(item: Item) {
  return z
    .array(item)
    .nullish()
    .transform((value) => value ?? [])
}
