import { Badge, Group, Text, UnstyledButton } from '@mantine/core'
import { useId } from 'react'

import type { CatalogueModel } from '../api/catalogue'
import { formatParameters, formatSize, nameOfLanguage } from '../format'
import { useI18n } from '../i18n'
import classes from './CatalogueCard.module.css'
import { isCached } from './selection'

export function CatalogueCard({ model, onChoose }: { model: CatalogueModel; onChoose: () => void }) {
  const { t, language } = useI18n()
  const about = useId()
  const context = model.context_length ?? model.max_tokens
  const facts = [
    ...sizes(model).map((size) => formatParameters(size, language)),
    model.dimensions && t('catalogue.dimensions', { count: model.dimensions }),
    context && t('catalogue.context', { tokens: context.toLocaleString(language) }),
  ].filter(Boolean)
  return (
    <article className={classes.card}>
      <Group justify="space-between" gap="xs" wrap="nowrap" align="flex-start">
        <UnstyledButton className={classes.name} aria-describedby={about} onClick={onChoose}>
          {model.model_name}
        </UnstyledButton>
        {isCached(model) && (
          <Badge color="teal" variant="light" flex="none">
            {t('catalogue.cached')}
          </Badge>
        )}
      </Group>
      <Text id={about} fz="sm" c="dimmed" lineClamp={3}>
        {model.model_description || languages(model, language)}
      </Text>
      <Group gap={6} mt="auto">
        {!model.is_builtin && (
          <Badge variant="light" color="grape">
            {t('catalogue.custom')}
          </Badge>
        )}
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
        {facts.join(' · ')}
      </Text>
    </article>
  )
}

function formats(model: CatalogueModel): string[] {
  return [...new Set(model.model_specs.flatMap((spec) => spec.model_format || []))]
}

/** For models that nobody describes: what languages they know. */
function languages(model: CatalogueModel, own: string): string {
  const codes = model.model_lang ?? model.language ?? []
  return new Intl.ListFormat(own).format(codes.map((code) => nameOfLanguage(code, own)))
}

function sizes(model: CatalogueModel): string[] {
  const all = model.model_specs.map((spec) => formatSize(spec.model_size_in_billions ?? ''))
  return [...new Set(all)].filter((size) => Number(size) > 0)
}
