import { OverlayError } from '../errors.ts'

/** What a caller is told whose subnet another call gave back while it waited for its turn. */
export function givenBack(subnet: string): OverlayError {
  return new OverlayError(
    'conflict',
    `the subnet ${subnet} was given back meanwhile; run the command again`,
  )
}
