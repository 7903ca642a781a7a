"""Pictures as PNG or SVG, one module each: titles, units, colours that everybody can tell apart."""
