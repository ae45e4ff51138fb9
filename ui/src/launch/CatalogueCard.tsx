import { Badge, Group, Text, UnstyledButton } from '@mantine/core'
import { useId } from 'react'

import type { CatalogueModel } from '../api/models'
import { useI18n } from '../i18n'
import classes from './CatalogueCard.module.css'

interface Props {
  model: CatalogueModel
  chosen: boolean
  onChoose: (name: string) => void
}

export function CatalogueCard({ model, chosen, onChoose }: Props) {
  const { t, language } = useI18n()
  const about = useId()
  const name = model.model_name
  return (
    <article className={classes.card} data-chosen={chosen || undefined}>
      <Group justify="space-between" gap="xs" wrap="nowrap" align="flex-start">
        <UnstyledButton
          className={classes.name}
          aria-pressed={chosen}
          aria-describedby={about}
          onClick={() => onChoose(name)}
        >
          {name}
        </UnstyledButton>
        {isCached(model) && (
          <Badge color="teal" variant="light" flex="none">
            {t('catalogue.cached')}
          </Badge>
        )}
      </Group>
      <Text id={about} fz="sm" c="dimmed" lineClamp={3}>
        {model.model_description}
      </Text>
      <Group gap={6} mt="auto">
        {model.model_ability.map((ability) => (
          <Badge key={ability} variant="light">
            {ability}
          </Badge>
        ))}
        {formats(model).map((format) => (
          <Badge key={format} variant="outline" color="gray">
            {format}
          </Badge>
        ))}
      </Group>
      <Text fz="xs" c="dimmed">
        {[
          ...sizes(model).map((size) => t('catalogue.size', { size })),
          ...(model.context_length
            ? [t('catalogue.context', { tokens: model.context_length.toLocaleString(language) })]
            : []),
        ].join(' · ')}
      </Text>
    </article>
  )
}

/** Whether one form of the model can start without a download. */
export function isCached(model: CatalogueModel): boolean {
  return model.model_specs.some((spec) => [spec.cache_status].flat().some(Boolean))
}

function formats(model: CatalogueModel): string[] {
  return [...new Set(model.model_specs.flatMap((spec) => spec.model_format || []))]
}

/** Sizes in billions of parameters; `0_5` is how the catalogue may write 0.5. */
function sizes(model: CatalogueModel): string[] {
  const all = model.model_specs.map((spec) =>
    String(spec.model_size_in_billions).replace('_', '.'),
  )
  return [...new Set(all)].filter((size) => Number(size) > 0)
}
