import { Group, SimpleGrid, Text, TextInput, Title } from '@mantine/core'
import { useMemo, useState } from 'react'

import type { CatalogueModel } from '../api/models'
import { useI18n } from '../i18n'
import { SearchIcon } from '../shell/icons'
import { CatalogueCard, isCached } from './CatalogueCard'

interface Props {
  models: CatalogueModel[]
  chosen: string
  onChoose: (name: string) => void
}

export function Catalogue({ models, chosen, onChoose }: Props) {
  const { t } = useI18n()
  const [search, setSearch] = useState('')
  const shown = useMemo(() => select(models, search), [models, search])
  return (
    <section aria-labelledby="catalogue-title">
      <Group justify="space-between" mb="md">
        <Title order={2} fz="h3" id="catalogue-title">
          {t('catalogue.title')}
        </Title>
        <TextInput
          type="search"
          aria-label={t('catalogue.search')}
          placeholder={t('catalogue.search')}
          leftSection={<SearchIcon />}
          value={search}
          onChange={(event) => setSearch(event.currentTarget.value)}
          w={{ base: '100%', xs: 280 }}
        />
      </Group>
      <SimpleGrid cols={{ base: 1, xs: 2, md: 3 }}>
        {shown.map((model) => (
          <CatalogueCard
            key={model.model_name}
            model={model}
            chosen={model.model_name === chosen}
            onChoose={onChoose}
          />
        ))}
      </SimpleGrid>
      <Text role="status" c="dimmed">
        {shown.length === 0 && search && t('catalogue.none', { search })}
      </Text>
    </section>
  )
}

/** The models in which every word of `search` is found, those on this machine first. */
function select(models: CatalogueModel[], search: string): CatalogueModel[] {
  const words = search.toLowerCase().split(/\s+/)
  return models
    .filter((model) => {
      const text = [model.model_name, model.model_description, ...model.model_ability]
        .join(' ')
        .toLowerCase()
      return words.every((word) => text.includes(word))
    })
    .sort((a, b) => Number(isCached(b)) - Number(isCached(a)))
}
