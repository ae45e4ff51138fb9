import { expect, it } from 'vitest'

import { formatClock, formatParameters, nameOfLanguage } from './format'

it.each([
  ['0_5', '0.5 B'],
  [7, '7 B'],
  ['1.8', '1.8 B'],
  [235, '235 B'],
  [0.033, '33 M'],
  [0.0021, '2.1 M'],
  [0.0000194, '19.4 K'],
])('tells %s billions as %s', (billions, text) => {
  expect(formatParameters(billions, 'en')).toBe(text)
})

it('tells where in a recording something is', () => {
  expect([0, 2.06, 59.96, 62.5].map(formatClock)).toEqual(['0:00.0', '0:02.1', '1:00.0', '1:02.5'])
})

it('calls languages by their names, as far as it knows them', () => {
  expect(nameOfLanguage('de', 'en')).toBe('German')
  expect(nameOfLanguage('de', 'zh')).toBe('德语')
  expect(nameOfLanguage('no such code', 'en')).toBe('no such code')
})
