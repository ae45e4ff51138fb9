import { expect, it } from 'vitest'

import { cosine, linesOf, similarities } from './similarity'

it('measures angles, whatever the lengths', () => {
  expect(cosine([1, 0], [5, 0])).toBe(1)
  expect(cosine([1, 0], [0, 2])).toBe(0)
  expect(cosine([1, 1], [-1, -1])).toBeCloseTo(-1)
  expect(cosine([0, 0], [1, 1])).toBe(0)
})

it('compares each with each', () => {
  expect(similarities([[1, 0], [0, 1]])).toEqual([[1, 0], [0, 1]])
})

it('takes lines that say something', () => {
  expect(linesOf(' a \n\n b')).toEqual(['a', 'b'])
})
