import { Anchor, Button, Group, Paper, Stack, Text, Title } from '@mantine/core'
import { useMutation, useQueryClient } from '@tanstack/react-query'

import { unregisterModel } from '../api/catalogue'
import { useCatalogue } from '../api/queries'
import { useI18n } from '../i18n'
import { routeTo } from '../route'
import { ErrorAlert } from '../shell/ErrorAlert'

export function OwnModels() {
  const { t } = useI18n()
  const queries = useQueryClient()
  const catalogue = useCatalogue()
  const forget = useMutation({
    mutationFn: unregisterModel,
    onSettled: () => queries.invalidateQueries({ queryKey: ['catalogue'] }),
  })
  const own = (catalogue.data ?? []).filter((model) => !model.is_builtin)
  return (
    <section aria-labelledby="own-title">
      <Title order={2} fz="h3" id="own-title" mb="sm">
        {t('register.own')}
      </Title>
      <ErrorAlert error={catalogue.error ?? forget.error} />
      {catalogue.data && own.length === 0 && <Text c="dimmed">{t('register.own.none')}</Text>}
      <Stack gap="xs">
        {own.map((model) => (
          <Paper
            component="article"
            key={`${model.model_type} ${model.model_name}`}
            withBorder
            p="sm"
            aria-label={model.model_name}
          >
            <Group justify="space-between">
              <div>
                <Text fw={600} style={{ overflowWrap: 'anywhere' }}>
                  {model.model_name}
                </Text>
                <Text fz="sm" c="dimmed">
                  {t(`type.${model.model_type}`)} {model.model_description}
                </Text>
              </div>
              <Group gap="xs">
                <Anchor fz="sm" href={routeTo('launch', model.model_name)}>
                  {t('launch.submit')}
                </Anchor>
                <Button
                  size="xs"
                  variant="default"
                  aria-label={t('register.forget.name', { name: model.model_name })}
                  onClick={() => forget.mutate(model)}
                >
                  {t('register.forget')}
                </Button>
              </Group>
            </Group>
          </Paper>
        ))}
      </Stack>
    </section>
  )
}
