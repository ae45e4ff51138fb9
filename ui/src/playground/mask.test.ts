import { expect, it } from 'vitest'

import { paintedBy } from './mask'

const TRANSPARENT = [0, 0, 0, 0]
const HALF = [255, 255, 255, 128]
const WHITE = [255, 255, 255, 255]
const BLACK = [0, 0, 0, 255]

function painted(...pixels: number[][]): number[] {
  return [...paintedBy(Uint8ClampedArray.from(pixels.flat()))]
}

it('paints what is transparent', () => {
  expect(painted(TRANSPARENT, HALF, WHITE, BLACK)).toEqual([255, 127, 0, 0])
})

it('paints what is white where nothing is transparent', () => {
  expect(painted(WHITE, BLACK, [255, 0, 0, 255])).toEqual([255, 0, 76])
})
