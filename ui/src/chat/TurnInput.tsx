import { useI18n } from '../i18n'
import type { Input } from './turn'
import classes from './TurnView.module.css'

export function TurnInput({ input }: { input: Input }) {
  const { t } = useI18n()
  if (input.kind === 'results') {
    return (
      <article className={classes.prompt} aria-label={t('tools.results')}>
        {input.results.map(({ id, name, content }) => (
          <div key={id} className={classes.text}>
            <strong>{name}</strong>: {content}
          </div>
        ))}
      </article>
    )
  }
  return (
    <article className={classes.prompt} aria-label={t('chat.you')}>
      {input.images.map((url, index) => (
        <img key={index} src={url} alt={t('chat.picture')} className={classes.picture} />
      ))}
      <div className={classes.text}>{input.text}</div>
    </article>
  )
}
