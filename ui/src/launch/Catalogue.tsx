import { Button, Checkbox, Group, NativeSelect, SimpleGrid, Stack, Text, TextInput } from '@mantine/core'
import { useDeferredValue, useMemo, useState } from 'react'
import type { ReactNode } from 'react'

import type { CatalogueModel } from '../api/catalogue'
import { useI18n } from '../i18n'
import { SearchIcon } from '../shell/icons'
import { CatalogueCard } from './CatalogueCard'
import { abilitiesOf, select } from './selection'
import type { Filter } from './selection'

/** Cards that are drawn at once. */
const PAGE = 30

interface Props {
  models: CatalogueModel[]
  /** Said where there are none. */
  empty: ReactNode
  onChoose: (model: CatalogueModel) => void
}

export function Catalogue({ models, empty, onChoose }: Props) {
  const { t, label } = useI18n()
  const [filter, setFilter] = useState<Filter>({ search: '', ability: '', onlyCached: false })
  const [limit, setLimit] = useState(PAGE)
  const deferred = useDeferredValue(filter)
  const found = useMemo(() => select(models, deferred), [models, deferred])
  const abilities = useMemo(() => abilitiesOf(models), [models])
  const change = (changes: Partial<Filter>) => setFilter({ ...filter, ...changes })

  return (
    <Stack>
      <Group align="center" gap="md">
        <TextInput
          type="search"
          aria-label={t('catalogue.search')}
          placeholder={t('catalogue.search')}
          leftSection={<SearchIcon />}
          value={filter.search}
          onChange={(event) => change({ search: event.currentTarget.value })}
          flex={1}
          miw={200}
        />
        <NativeSelect
          aria-label={t('catalogue.ability')}
          value={filter.ability}
          onChange={(event) => change({ ability: event.currentTarget.value })}
          data={[
            { value: '', label: t('catalogue.ability.any') },
            ...abilities.map((one) => ({ value: one, label: label(`ability.${one}`, one) })),
          ]}
        />
        <Checkbox
          label={t('catalogue.onlyCached')}
          checked={filter.onlyCached}
          onChange={(event) => change({ onlyCached: event.currentTarget.checked })}
        />
      </Group>
      <Text role="status" fz="sm" c="dimmed">
        {found.length === 0 && empty}
        {found.length === 1 && t('catalogue.count.one')}
        {found.length > 1 && t('catalogue.count', { count: found.length })}
      </Text>
      <SimpleGrid cols={{ base: 1, xs: 2, md: 3 }}>
        {found.slice(0, limit).map((model) => (
          <CatalogueCard
            key={`${model.model_type} ${model.model_name}`}
            model={model}
            onChoose={() => onChoose(model)}
          />
        ))}
      </SimpleGrid>
      {found.length > limit && (
        <Button variant="default" onClick={() => setLimit(limit + PAGE)} mx="auto">
          {t('catalogue.more', { count: Math.min(PAGE, found.length - limit) })}
        </Button>
      )}
    </Stack>
  )
}
