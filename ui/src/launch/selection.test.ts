import { expect, it } from 'vitest'

import type { CatalogueModel } from '../api/catalogue'
import { abilitiesOf, modelsOf, select } from './selection'

function model(name: string, fields: Partial<CatalogueModel> = {}, cached = false): CatalogueModel {
  return {
    model_name: name,
    model_type: 'LLM',
    model_description: null,
    model_ability: ['chat'],
    is_builtin: true,
    model_specs: [
      { model_format: 'ggufv2', model_size_in_billions: 7, quantization: 'Q4', cache_status: cached },
    ],
    ...fields,
  }
}

const SEES = model('sees', { model_ability: ['chat', 'vision'] })
const HERE = model('here', { model_description: 'A Small one' }, true)
const MINE = model('mine', { is_builtin: false, model_type: 'rerank', model_ability: ['rerank'] })
const ALL = [SEES, HERE, MINE]
const ANY = { search: '', ability: '', onlyCached: false }

it('puts what starts offline first', () => {
  expect(select(ALL, ANY)).toEqual([HERE, SEES, MINE])
})

it.each([
  [{ search: 'vl-chat' }, [SEES]],
  [{ search: 'SMALL here' }, [HERE]],
  [{ search: 'small sees' }, []],
  [{ ability: 'vision' }, [SEES]],
  [{ onlyCached: true }, [HERE]],
])('filters by %o', (filter, expected) => {
  expect(select(ALL, { ...ANY, ...filter })).toEqual(expected)
})

it('divides models by type, and shows registered ones under custom as well', () => {
  expect(modelsOf('LLM', ALL)).toEqual([SEES, HERE])
  expect(modelsOf('rerank', ALL)).toEqual([MINE])
  expect(modelsOf('custom', ALL)).toEqual([MINE])
  expect(abilitiesOf(ALL)).toEqual(['chat', 'vision', 'rerank'])
})
